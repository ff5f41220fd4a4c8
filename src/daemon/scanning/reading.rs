//! Files of a checkout, by a command in the container that has it. What that command prints may be anybody's words: its
//! size has a bound, and it is nothing but texts.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use futures_util::StreamExt as _;
use futures_util::future::join;
use tokio::io::AsyncWriteExt as _;

use super::ScanFault;
use crate::engine::{Engine, Output};
use crate::plan::script;
use crate::plan::spec::ExecSpec;
use crate::scan::{CheckoutPath, MAX_FILE_BYTES};

/// How much of a checkout is read in all, in bytes: what scans are for is far below.
const MOST: usize = 1 << 20;
/// What is printed for a file beside its bytes.
const FRAME: usize = 64;

/// Reads files in a container.
pub(super) struct Reader<'a, E> {
    engine: &'a E,
    container: String,
    checkout: String,
    /// How many bytes may still come.
    left: usize,
}

impl<'a, E: Engine> Reader<'a, E> {
    /// Takes a container and the checkout in it.
    pub(super) fn new(engine: &'a E, container: String, checkout: &str) -> Result<Self, ScanFault> {
        let plain = checkout.trim_end_matches('/');
        if !plain.starts_with('/') || plain.contains(|c: char| c.is_control()) {
            return Err(ScanFault::NoCheckout(checkout.escape_debug().to_string()));
        }
        Ok(Self { engine, container, checkout: plain.to_owned(), left: MOST })
    }

    /// Reads files; `None` for what is no plain file of text, is too long, or was not come to.
    pub(super) async fn read(&mut self, paths: &[CheckoutPath]) -> Result<Vec<Option<String>>, ScanFault> {
        if self.left == 0 {
            return Ok(vec![None; paths.len()]);
        }
        // A byte more than is of use tells that a file is too long.
        let command = script::read(&self.checkout, MAX_FILE_BYTES + 1);
        let spec = ExecSpec { command, user: String::new(), env: Vec::new(), stdin: true };
        let mut exec = self.engine.exec(&self.container, &spec).await?;
        let mark = mark();
        let mut asked = format!("{mark}\n");
        for path in paths {
            asked.extend([path.as_str(), "\n"]);
        }
        let most = self.left + (paths.len() + 1) * FRAME;
        let ask = async {
            // A command that ends early reads no more.
            let _ = exec.input.write_all(asked.as_bytes()).await;
            let _ = exec.input.shutdown().await;
        };
        let ((), said) = join(ask, collect(&mut exec.output, most)).await;
        let said = said?;
        let frames = Frames::of(&said, &mark);
        self.left = self.left.saturating_sub(frames.bytes());
        if frames.ended {
            return Ok(frames.texts(paths.len()));
        }
        if frames.full(most) {
            self.left = 0;
            return Ok(frames.texts(paths.len()));
        }
        let code = self.engine.exec_state(&exec.id).await?.exit_code;
        if code == Some(script::EXIT_NO_CHECKOUT) {
            return Err(ScanFault::NoCheckout(self.checkout.clone()));
        }
        // It was ended with its container, or never began.
        let there = self.engine.container(&self.container).await?;
        Err(if there.is_some_and(|state| state.running) { ScanFault::Broken } else { ScanFault::Gone })
    }
}

/// Makes a text that no file can have foreseen.
fn mark() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("hearth-{:016x}{:016x}", random(), random())
}

/// Collects what is printed, up to a bound.
async fn collect(output: &mut Output, most: usize) -> Result<Vec<u8>, ScanFault> {
    let mut said = Vec::new();
    while let Some(chunk) = output.next().await {
        let chunk = chunk?;
        if !chunk.stderr {
            let room = most - said.len();
            said.extend_from_slice(chunk.bytes.get(..room).unwrap_or(&chunk.bytes));
            if said.len() == most {
                break;
            }
        }
    }
    Ok(said)
}

/// What `read.sh` printed.
struct Frames<'a> {
    said: usize,
    /// The number of a path, from 1, and what its file holds.
    files: Vec<(usize, &'a [u8])>,
    /// Whether it came to its end.
    ended: bool,
}

impl<'a> Frames<'a> {
    fn of(said: &'a [u8], mark: &str) -> Self {
        let head = format!("{mark} ");
        let inner = format!("\n{head}");
        let mut frames = Self { said: said.len(), files: Vec::new(), ended: false };
        let Some(mut rest) = said.strip_prefix(head.as_bytes()) else { return frames };
        loop {
            if rest == b"end\n" {
                frames.ended = true;
                return frames;
            }
            // A file whose end did not come is not complete.
            let Some(end) = find(rest, inner.as_bytes()) else { return frames };
            let (frame, after) = rest.split_at(end);
            let Some(line) = find(frame, b"\n") else { return frames };
            let number = std::str::from_utf8(&frame[..line]).ok().and_then(|number| number.parse().ok());
            if let Some(number) = number {
                frames.files.push((number, &frame[line + 1..]));
            }
            rest = &after[inner.len()..];
        }
    }

    fn bytes(&self) -> usize {
        self.files.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    fn full(&self, most: usize) -> bool {
        self.said == most
    }

    /// Returns the texts of so many paths.
    fn texts(&self, paths: usize) -> Vec<Option<String>> {
        let mut texts = vec![None; paths];
        for (number, bytes) in &self.files {
            let Some(place) = number.checked_sub(1).and_then(|at| texts.get_mut(at)) else { continue };
            *place = String::from_utf8(bytes.to_vec()).ok().filter(|text| text.len() <= MAX_FILE_BYTES);
        }
        texts
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop_oneof, proptest};

    use super::{Frames, MAX_FILE_BYTES, mark};

    fn texts(said: &[u8], paths: usize) -> (Vec<Option<String>>, bool) {
        let frames = Frames::of(said, "M");
        (frames.texts(paths), frames.ended)
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn files_are_told_apart_whatever_they_hold() {
        let said = b"M 1\nFROM a\n\nM 2\n\nM 3\nno end of line\nM 5\n\n\n M 7\nMM 8\n\nM end\n";
        let expected = [some("FROM a\n"), some(""), some("no end of line"), None, some("\n\n M 7\nMM 8\n")];
        assert_eq!(texts(said, 5), (expected.to_vec(), true));
        // Whoever knows the mark writes what he likes, and it is still nothing but texts.
        assert_eq!(texts(b"M 1\nM 2\nx\nM end\n\nM end\n", 2), (vec![None, None], false));
        assert_eq!(texts(b"M 2\nx\nM end\n", 2), (vec![None, some("x")], true));
        assert_eq!(texts(b"M end\n", 1), (vec![None], true));
    }

    #[test]
    fn what_is_cut_off_or_odd_is_no_file() {
        for (said, expected) in [
            (&b""[..], [None, None]),
            (b"M 1\nFROM a\n", [None, None]),
            (b"M 1\nFROM a\nM 2\nFRO", [some("FROM a"), None]),
            (b"M 0\nx\nM 3\nx\nM -1\nx\nM x\nx\nM end\n", [None, None]),
            (b"M 1\n\xff\xfe\nM end\n", [None, None]),
            (b"noise\nM 1\nx\nM end\n", [None, None]),
        ] {
            assert_eq!(texts(said, 2).0, expected, "{}", String::from_utf8_lossy(said));
        }
        let long = [b"M 1\n", "x".repeat(MAX_FILE_BYTES + 1).as_bytes(), b"\nM end\n"].concat();
        assert_eq!(texts(&long, 1), (vec![None], true));
    }

    /// Bytes of what frames are made of.
    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => "(M |M|\n|1|2|3|end|end\n| |-1|\nM )".prop_map(String::into_bytes),
            1 => proptest::collection::vec(any::<u8>(), 0..4),
        ];
        proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_read_as_texts(said in pieces()) {
            let frames = Frames::of(&said, "M");
            assert!(frames.bytes() <= said.len());
            assert_eq!(frames.texts(2).len(), 2);
        }

        #[test]
        fn what_does_not_know_the_mark_is_read_back(files in proptest::collection::vec(pieces(), 0..5)) {
            let mark = mark();
            let mut said = Vec::new();
            for (number, file) in files.iter().enumerate() {
                let head = format!("{mark} {}\n", number + 1);
                said.extend([head.as_bytes(), file, b"\n"].concat());
            }
            said.extend(format!("{mark} end\n").bytes());
            let frames = Frames::of(&said, &mark);
            assert!(frames.ended);
            let texts: Vec<_> = files.into_iter().map(|file| String::from_utf8(file).ok()).collect();
            assert_eq!(frames.texts(texts.len()), texts);
        }
    }

    #[test]
    fn no_two_marks_are_the_same() {
        assert_ne!(mark(), mark());
        assert_eq!(mark().len(), "hearth-".len() + 32);
    }
}
