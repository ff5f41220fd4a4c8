//! The lines of a stage script, before they are wrapped.

use super::quote::quote;

/// A script under construction.
#[derive(Debug, Default)]
pub(super) struct Body(String);

impl Body {
    /// Adds a line as it is.
    pub(super) fn line(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    /// Adds a command, every word quoted.
    pub(super) fn run(&mut self, words: &[&str]) {
        self.line(&words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "));
    }

    /// Adds a line that prints a text in green.
    pub(super) fn green(&mut self, text: &str) {
        self.line(&format!("echo {}", quote(&format!("\x1b[32;1m{text}\x1b[0;m"))));
    }

    /// Adds a line that prints a text in yellow.
    pub(super) fn yellow(&mut self, text: &str) {
        self.line(&format!("echo {}", quote(&format!("\x1b[0;33m{text}\x1b[0;m"))));
    }

    /// Adds the user's commands, each shown in green before it runs.
    pub(super) fn commands(&mut self, script: &[String]) {
        for command in script {
            match command.trim_end().split_once('\n') {
                None => self.green(&format!("$ {command}")),
                Some((first, _)) => self.green(&format!("$ {first} # collapsed multi-line command")),
            }
            self.line(command);
        }
    }

    /// Adds lines that run only where the `gitlab-runner` command is, and a warning where it is not.
    pub(super) fn with_runner_command(&mut self, what: &str, inner: &Body) {
        self.line("if gitlab-runner --version >/dev/null 2>&1; then");
        self.0.push_str(inner.text());
        self.line("else");
        self.yellow(&format!("Missing gitlab-runner. {what} is disabled."));
        self.line("fi");
    }

    /// Returns the lines.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}
