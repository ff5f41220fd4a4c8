//! What hearth relies on an engine for, clause by clause; the fake and the real engine keep to the same words.
//!
//! A clause is a function over any [`Engine`](hearth::engine::Engine). It brings its programs with it twice: as a shell
//! script for the real engine, as a behaviour for the fake. Every clause has a world of its own, which is emptied at the
//! clause's end, also after a failure.

mod attach;
mod checkouts;
mod containers;
mod execs;
mod ground;
mod images;
mod listings;
mod logs;
mod names;
mod pulls;
mod scripts;
mod streams;
mod world;

/// Makes tests of each clause: on the fake engine with both of Docker's stores, on the real one, on Podman, and on Docker
/// with containerd's store.
macro_rules! clauses {
    ($($file:ident: $($clause:ident),+;)+) => {
        mod fake {
            $($(
                #[tokio::test(start_paused = true)]
                async fn $clause() {
                    let world = super::world::fake(hearth::engine::StoreKind::DockerClassic);
                    world.hold(super::$file::$clause(&world)).await;
                }
            )+)+
        }

        mod fake_containerd {
            $($(
                #[tokio::test(start_paused = true)]
                async fn $clause() {
                    let world = super::world::fake(hearth::engine::StoreKind::Containerd);
                    world.hold(super::$file::$clause(&world)).await;
                }
            )+)+
        }

        clauses!(on real: $($file: $($clause),+;)+);
        clauses!(on podman: $($file: $($clause),+;)+);
        clauses!(on containerd: $($file: $($clause),+;)+);
    };
    (on $engine:ident: $($file:ident: $($clause:ident),+;)+) => {
        mod $engine {
            $($(
                #[tokio::test]
                async fn $clause() {
                    if let Some(world) = super::world::$engine().await {
                        world.hold(super::$file::$clause(&world)).await;
                    }
                }
            )+)+
        }
    };
}

clauses! {
    images:
        the_engine_says_what_it_is,
        the_engine_says_what_it_keeps_images_in,
        an_absent_image_is_none,
        a_pulled_image_has_facts,
        an_image_tells_its_layers,
        a_name_is_given,
        an_image_is_found_by_tag_digest_and_id,
        a_pull_tells_the_digest,
        a_missing_tag_is_said_so,
        a_missing_platform_is_said_so,
        a_registrys_platforms_are_told;
    names:
        images_are_listed_with_their_names,
        an_image_goes_with_its_last_name,
        an_image_goes_by_its_id_unless_it_has_two_names,
        an_image_of_a_container_keeps_its_last_name,
        the_removal_of_a_name_is_idempotent,
        an_image_may_have_a_digest_for_its_only_name,
        all_names_are_taken_one_by_one,
        an_image_that_lost_its_tag_is_still_listed,
        a_build_cache_within_its_bounds_stays;
    listings:
        all_containers_are_listed_with_their_images,
        networks_and_volumes_of_jobs_are_listed,
        a_change_is_told;
    pulls:
        a_transfer_lives_while_one_client_watches,
        what_a_pull_leaves_that_nobody_watches,
        a_pull_by_digest_moves_no_tag,
        a_digest_is_pulled_for_a_platform;
    ground:
        a_network_is_made_once_and_goes_once,
        a_network_in_use_stays,
        a_container_without_its_network_does_not_start,
        a_volume_may_be_made_twice,
        a_volume_may_be_made_by_two_at_once,
        a_mounted_volume_stays,
        objects_are_listed_by_label,
        a_volume_keeps_its_files;
    containers:
        a_name_is_taken_once,
        a_container_needs_its_image,
        a_fresh_container_is_not_a_stopped_one,
        a_main_process_leaves_its_code,
        what_ends_ends_after_the_engine_began,
        stopped_is_not_gone,
        stop_kills_what_ignores_term,
        an_init_passes_term_on,
        a_killed_container_has_137,
        starting_twice_is_fine,
        what_is_gone_needs_no_ending,
        removal_is_idempotent,
        anonymous_volumes_go_with_their_container,
        a_missing_program_does_not_start,
        a_main_process_may_be_killed_for_memory,
        an_address_is_known_while_it_runs,
        health_begins_with_the_start;
    execs:
        an_exec_needs_a_running_container,
        an_exec_leaves_its_code,
        an_exec_sees_the_end_of_stdin_by_half_close,
        an_exec_without_stdin_is_at_its_end,
        output_is_byte_exact_and_in_order,
        a_background_holder_keeps_the_stream_open,
        an_exec_dies_with_its_container,
        an_exec_of_a_missing_program_says_so,
        an_exec_of_a_removed_container_is_forgotten,
        an_exec_goes_on_without_its_client,
        an_exec_that_prints_to_nobody_may_lose_its_code;
    attach:
        attached_before_start_sees_all,
        stdin_once_is_closed_with_its_client,
        an_attached_stream_ends_with_the_container,
        attached_late_sees_the_rest;
    logs:
        logs_have_all_lines,
        logs_have_a_tail,
        logs_begin_at_a_time,
        logs_may_bear_times,
        logs_follow_to_the_end,
        logs_of_a_gone_container_are_not_found;
    scripts:
        a_stage_leaves_its_scripts_code,
        a_stage_ends_what_it_left,
        a_stage_is_stopped,
        a_stop_ends_no_other_stage,
        a_stage_that_waits_for_the_helper_is_stopped,
        a_helper_readies_sweeps_and_goes,
        a_shell_takes_the_handover_and_stays;
    checkouts:
        what_is_in_a_checkout_is_read,
        nothing_beside_a_checkout_is_read,
        a_checkout_that_changes_gives_nothing_else_away,
        a_link_for_a_checkout_is_not_followed,
        a_checkout_goes_with_its_container;
}
