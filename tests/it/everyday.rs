//! What everyday images and scripts do: dash beside bash, variables of any shape, `killall`.

use crate::world::{World, block_on};

#[test]
fn an_entrypoint_hands_over_where_sh_is_dash_and_scripts_run_in_bash() {
    let Some(world) = World::new("dash") else { return };
    let wrapper = "export FROM_ENTRY='it''s
two lines'; umask 027; cd /tmp; exec \"$@\"";
    let mut job = world.job().image(world.image("job/debian")).variable("SHAPE", "x\nexport my-var=1\n1=2");
    job.image.entrypoint = Some(["sh", "-c", wrapper, "entry"].map(str::to_owned).to_vec());
    let job = job
        .script("echo \"FROM=[$FROM_ENTRY] SHELL=[$0] HOME=[$HOME] UMASK=[$(umask)]\"; echo \"[$SHAPE]\"")
        .after_script("echo \"AFTER=[$FROM_ENTRY]\"");
    let ran = block_on(world.run(&job));
    ran.succeeded()
        .says("FROM=[its\ntwo lines]")
        .says("HOME=[/root] UMASK=[0027]")
        .says("[x\nexport my-var=1\n1=2]")
        .says("AFTER=[its\ntwo lines]")
        .is_silent_about("not found");
}

#[test]
fn variables_of_any_shape_pass_an_entrypoint_of_a_busybox_image_too() {
    let Some(world) = World::new("shapes") else { return };
    let job = world
        .job()
        .image(world.image("job/entry-exports"))
        .variable("SHAPE", "x\nexport my-var=1\nexport 9=2\n* ?")
        .script("echo \"[$SHAPE] $FROM_ENTRY\"");
    block_on(world.run(&job)).succeeded().says("[x\nexport my-var=1\nexport 9=2\n* ?] yes");
}

#[test]
fn a_script_that_kills_by_name_hits_its_own_processes_only() {
    let Some(world) = World::new("killall") else { return };
    for image in ["job/busybox", "job/entry-exec"] {
        let job = world
            .job()
            .image(world.image(image))
            .script("sleep 300 & sleep 1; killall sleep; pkill -f busybox || true; pkill -f memory || true; echo survived")
            .after_script("echo after too");
        block_on(world.run(&job)).succeeded().says("\nsurvived").says("\nafter too");
    }
}
