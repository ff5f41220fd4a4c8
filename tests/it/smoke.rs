//! The least that must be true.

use crate::world::{World, block_on};

#[test]
fn a_script_runs_through_all_four_stages_and_leaves_nothing() {
    let Some(world) = World::new("smoke") else { return };
    let job = world.job().script("echo hello from $CI_JOB_ID");
    let ran = block_on(world.run(&job));
    ran.succeeded().says(&format!("hello from {}", job.id));
    assert_eq!(
        ran.report.names(),
        [
            "config",
            "prepare",
            "prepare_script",
            "get_sources",
            "build_script",
            "cleanup_file_variables",
            "cleanup"
        ]
    );
}
