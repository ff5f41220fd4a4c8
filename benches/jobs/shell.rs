//! The plain driver: what a competent person writes with the docker command line in a shell script.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use hearth::runner::DriverCommand;

use crate::Result;

const SCRIPT: &str = include_str!("shell-driver.sh");

/// Writes the driver into a directory.
pub(crate) fn install(dir: &Path, helper: &str) -> Result<()> {
    let path = program(dir);
    std::fs::write(&path, SCRIPT.replace("@HELPER@", helper))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Returns how the driver in a directory is called.
pub(crate) fn command(dir: &Path) -> DriverCommand {
    DriverCommand::new(program(dir), &[])
}

fn program(dir: &Path) -> PathBuf {
    dir.join("shell-driver")
}
