use super::{Compressed, HistoryEntry, LayerFact, chain_ids, layers, own_bytes, unique_bytes};

fn diffs(count: usize) -> Vec<String> {
    (1..=count).map(|n| format!("sha256:{n:064x}")).collect()
}

fn history(entries: &[(&str, u64)]) -> Vec<HistoryEntry> {
    entries.iter().map(|(by, bytes)| HistoryEntry { created_by: (*by).to_owned(), bytes: *bytes }).collect()
}

fn bytes(count: usize, entries: &[(&str, u64)]) -> Vec<Option<u64>> {
    layers(&diffs(count), &history(entries)).into_iter().map(|layer| layer.bytes).collect()
}

#[test]
fn chains_are_folded_from_the_base() {
    assert_eq!(chain_ids(&[]), Vec::<String>::new());
    // Reckoned with sha256sum.
    let one = format!("sha256:{}", "1".repeat(64));
    let two = format!("sha256:{}", "2".repeat(64));
    assert_eq!(
        chain_ids(&[one.clone(), two.clone(), one.clone()]),
        [
            one,
            "sha256:9932074217c35353d2e03a3f5a86549f7c67bfeb0ba53e23d69f4d4c8f7958f5".to_owned(),
            "sha256:cc68b5999b6e49875d65ff354334e05c43e65a3921cab7ff95f6385e3390e63a".to_owned(),
        ]
    );
}

#[test]
fn entries_with_bytes_are_the_layers_where_they_are_as_many() {
    let buildkit = [
        ("ADD rootfs.tar.xz / # buildkit", 100),
        ("CMD [\"bash\"]", 0),
        ("ENV A=b", 0),
        ("RUN /bin/sh -c apt-get update # buildkit", 20),
        ("RUN /bin/sh -c true # buildkit", 0),
        ("COPY . /x # buildkit", 3),
        ("ENTRYPOINT [\"/x\"]", 0),
    ];
    assert_eq!(bytes(3, &buildkit), [Some(100), Some(20), Some(3)]);
}

#[test]
fn where_all_entries_are_as_many_each_is_a_layer() {
    assert_eq!(bytes(3, &[("", 5), ("", 0), ("LABEL a=b", 7)]), [Some(5), Some(0), Some(7)]);
}

#[test]
fn a_layer_without_bytes_is_one_whose_instruction_makes_layers() {
    let entries = [
        ("ADD x /", 9),
        ("ENV A=b", 0),
        ("WORKDIR /x", 0),
        ("RUN make", 4),
        ("USER 1000", 0),
        ("COPY y /y", 2),
    ];
    assert_eq!(bytes(4, &entries), [Some(9), Some(0), Some(4), Some(2)]);
    let older = [
        ("/bin/sh -c #(nop) ADD file:1 in / ", 9),
        ("/bin/sh -c #(nop)  CMD [\"sh\"]", 0),
        ("/bin/sh -c mkdir /x", 0),
        ("/bin/sh -c #(nop) COPY file:2 in /x ", 2),
    ];
    assert_eq!(bytes(3, &older), [Some(9), Some(0), Some(2)]);
}

#[test]
fn where_no_instruction_tells_the_oldest_are_the_layers() {
    assert_eq!(bytes(3, &[("a", 0), ("b", 6), ("c", 0), ("d", 4)]), [Some(0), Some(6), Some(4)]);
}

#[test]
fn a_history_that_does_not_fit_tells_nothing() {
    assert_eq!(bytes(3, &[("RUN a", 6), ("RUN b", 1)]), [None, None, None]);
    assert_eq!(bytes(1, &[("RUN a", 6), ("RUN b", 1)]), [None]);
    assert_eq!(bytes(1, &[]), [None]);
    assert_eq!(bytes(0, &[("CMD x", 0)]), Vec::<Option<u64>>::new());
}

#[test]
fn shared_layers_count_once() {
    let image = |diffs: &[&str], bytes: &[u64]| -> Vec<LayerFact> {
        let diffs: Vec<String> = diffs.iter().map(|d| (*d).to_owned()).collect();
        let entries: Vec<(&str, u64)> = bytes.iter().map(|b| ("RUN x", *b)).collect();
        layers(&diffs, &history(&entries))
    };
    let (one, two) = (image(&["base", "a"], &[100, 10]), image(&["base", "b"], &[100, 1]));
    // The same difference on another base is another layer.
    let other = image(&["else", "a"], &[50, 10]);
    assert_eq!(unique_bytes([one.as_slice(), &two, &other]), 171);
    assert_eq!(own_bytes(&one, [two.as_slice(), &other]), 10);
    assert_eq!(own_bytes(&one, [other.as_slice()]), 110);
    assert_eq!(own_bytes(&one, [one.as_slice()]), 0);
}

#[test]
fn what_is_reckoned_says_so() {
    assert_eq!(Compressed::of_unpacked(265), Compressed::Estimated(100));
    assert_eq!(Compressed::Told(7).bytes(), 7);
}
