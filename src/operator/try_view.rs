//! What `hearth try` shows.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::runner::{CallReport, Events, Exit, FailureClass, JobOutcome, JobReport};

/// Prints the job's log as it comes.
pub(super) struct Printer<'a> {
    pub(super) out: &'a mut dyn Write,
    pub(super) err: &'a mut dyn Write,
    /// Whether the reader has gone: the job goes on, unseen.
    gone: bool,
}

impl<'a> Printer<'a> {
    pub(super) fn new(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self { out, err, gone: false }
    }

    /// Prints a line of the command itself.
    pub(super) fn say(&mut self, line: &str) {
        self.log(format!("{line}\n").as_bytes());
    }
}

impl Events for Printer<'_> {
    fn log(&mut self, bytes: &[u8]) {
        self.gone = self.gone || self.out.write_all(bytes).and_then(|()| self.out.flush()).is_err();
    }

    fn runner_log(&mut self, bytes: &[u8]) {
        // What cleanup says is not part of the job log; the runner writes it into its own.
        let _ = self.err.write_all(bytes);
    }
}

/// Returns the table of calls and their seconds.
pub(super) fn table(report: &JobReport) -> String {
    let names: Vec<String> = report.calls.iter().map(|call| name(call, report.attempts)).collect();
    let width = names.iter().map(String::len).max().unwrap_or(0).max("stage".len());
    let mut table = format!("\n{:<width$}  {:>9}  exit\n", "stage", "seconds");
    for (name, call) in names.iter().zip(&report.calls) {
        table.push_str(&format!("{name:<width$}  {:>9.3}  {}\n", call.took.as_secs_f64(), exit(call)));
    }
    table.push_str(&format!("{:<width$}  {:>9.3}\n", "total", report.took.as_secs_f64()));
    table
}

fn name(call: &CallReport, attempts: u32) -> String {
    if attempts > 1 { format!("{} ({})", call.name, call.attempt) } else { call.name.clone() }
}

fn exit(call: &CallReport) -> String {
    let exit = match &call.exit {
        Exit::Code(code) => code.to_string(),
        Exit::Signal(number) => format!("signal {number}"),
        Exit::NotStarted(reason) => format!("not started: {reason}"),
        Exit::Dormant => "never".to_owned(),
        Exit::Unknown => "unknown".to_owned(),
    };
    if call.stopped.is_some() { format!("{exit} (stopped)") } else { exit }
}

/// Returns the exit code of the command: 0 succeeded, 1 the job failed, 2 the host or the driver failed.
pub(super) fn exit_code(outcome: &JobOutcome) -> u8 {
    match outcome {
        JobOutcome::Success => 0,
        JobOutcome::Failed(failure) => match failure.class {
            FailureClass::Script | FailureClass::Timeout | FailureClass::Canceled => 1,
            FailureClass::System | FailureClass::Configuration => 2,
        },
        JobOutcome::Abandoned => 2,
    }
}

/// Returns the result for programs.
pub(super) fn document(
    job: u64,
    report: &JobReport,
    artifacts: Option<usize>,
    left_out: &[&str],
) -> io::Result<String> {
    let mut document = json!({"job": job, "artifact_bytes": artifacts, "left_out": left_out});
    if let (Some(fields), Value::Object(report)) = (document.as_object_mut(), serde_json::to_value(report)?) {
        fields.extend(report);
    }
    Ok(format!("{document:#}\n"))
}
