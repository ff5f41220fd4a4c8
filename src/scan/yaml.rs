//! YAML as GitLab reads it: anchors, merge keys and `!reference`, without ever copying what an alias names.

use std::collections::BTreeMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::files::CheckoutPath;
use super::found::Place;
use super::limits::{MAX_DEPTH, MAX_KEY, MAX_NODES};

/// How many documents of a file are read: a header and the pipeline.
const MAX_DOCUMENTS: usize = 2;

/// A value and where it was written. Copies are cheap: they share what is in it.
#[derive(Clone)]
pub(super) struct Node(Rc<Inner>);

struct Inner {
    value: Value,
    file: Rc<CheckoutPath>,
    line: usize,
    /// How deep it nests: 0 for a text. Bounded, so dropping it needs little stack.
    height: u16,
}

pub(super) type Map = BTreeMap<String, Node>;

pub(super) enum Value {
    Null,
    /// A text, a number or a truth value, as it was written.
    Text(String),
    List(Vec<Node>),
    Map(Map),
    /// `!reference [job, key, …]`
    Reference(Vec<String>),
}

impl Node {
    fn new(value: Value, file: &Rc<CheckoutPath>, line: usize) -> Result<Self, String> {
        let deepest = match &value {
            Value::List(items) => items.iter().map(|item| item.0.height + 1).max(),
            Value::Map(map) => map.values().map(|item| item.0.height + 1).max(),
            Value::Null | Value::Text(_) | Value::Reference(_) => None,
        };
        let height = deepest.unwrap_or(0);
        if height > MAX_DEPTH {
            return Err(format!("line {line}: it nests deeper than {MAX_DEPTH}"));
        }
        Ok(Self(Rc::new(Inner { value, file: Rc::clone(file), line, height })))
    }

    /// Makes a map in the place of this value, from values that nest no deeper than it.
    pub(super) fn with_map(&self, map: Map) -> Self {
        let height = map.values().map(|item| item.0.height + 1).max().unwrap_or(0);
        let inner = &self.0;
        Self(Rc::new(Inner {
            value: Value::Map(map),
            file: Rc::clone(&inner.file),
            line: inner.line,
            height,
        }))
    }

    pub(super) fn value(&self) -> &Value {
        &self.0.value
    }

    pub(super) fn place(&self) -> Place {
        Place { file: CheckoutPath::clone(&self.0.file), line: self.0.line }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self.value() {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn map(&self) -> Option<&Map> {
        match self.value() {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Returns the items of a list; any other value but null is a list of itself.
    pub(super) fn items(&self) -> &[Node] {
        match self.value() {
            Value::List(items) => items,
            Value::Null => &[],
            _ => std::slice::from_ref(self),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.map()?.get(key)
    }
}

/// Reads a file; of a pipeline's file with a header (`spec:`) what follows it. `None` if it holds nothing.
pub(super) fn read(text: &str, file: &CheckoutPath) -> Result<Option<Node>, String> {
    let mut builder = Builder {
        file: Rc::new(file.clone()),
        stack: Vec::new(),
        anchors: BTreeMap::new(),
        documents: Vec::new(),
        nodes: 0,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|e| super::found::shown(&e.to_string()))?;
        builder.take(event, span.start.line())?;
        if builder.documents.len() == MAX_DOCUMENTS {
            break;
        }
    }
    let mut documents = builder.documents.into_iter();
    let first = documents.next();
    match (&first, documents.next()) {
        (Some(header), Some(second)) if header.get("spec").is_some() => Ok(Some(second)),
        _ => Ok(first),
    }
}

struct Builder {
    file: Rc<CheckoutPath>,
    stack: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    documents: Vec<Node>,
    nodes: usize,
}

/// A list or map that has begun.
struct Open {
    line: usize,
    anchor: usize,
    body: Body,
}

enum Body {
    List { items: Vec<Node>, reference: bool },
    Map { map: Map, key: Option<Key> },
}

enum Key {
    Text(String),
    /// `<<`
    Merge,
    /// A key that is no text, or a very long one: its value is left out.
    Odd,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), String> {
        match event {
            Event::DocumentStart(_) => self.anchors.clear(),
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => self.put(node, 0, false)?,
                // An alias within what it names.
                None => return Err(format!("line {line}: an alias names what it is in")),
            },
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let null = plain && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
                let merge = plain && text == "<<";
                let value = if null { Value::Null } else { Value::Text(text.into_owned()) };
                let node = Node::new(value, &self.file, line)?;
                self.put(node, anchor, merge)?;
            }
            Event::SequenceStart(anchor, tag) => {
                let reference = tag.is_some_and(|tag| is_reference(&tag));
                self.open(line, anchor, Body::List { items: Vec::new(), reference })?;
            }
            Event::MappingStart(anchor, _) => {
                self.open(line, anchor, Body::Map { map: Map::new(), key: None })?
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.stack.pop() {
                    let value = match open.body {
                        Body::List { items, reference: true } => {
                            Value::Reference(items.iter().filter_map(Node::text).map(str::to_owned).collect())
                        }
                        Body::List { items, reference: false } => Value::List(items),
                        Body::Map { map, .. } => Value::Map(map),
                    };
                    let node = Node::new(value, &self.file, open.line)?;
                    self.put(node, open.anchor, false)?;
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn open(&mut self, line: usize, anchor: usize, body: Body) -> Result<(), String> {
        if self.stack.len() > usize::from(MAX_DEPTH) {
            return Err(format!("line {line}: it nests deeper than {MAX_DEPTH}"));
        }
        self.stack.push(Open { line, anchor, body });
        Ok(())
    }

    fn count(&mut self, nodes: usize) -> Result<(), String> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES { Err(format!("it holds more than {MAX_NODES} values")) } else { Ok(()) }
    }

    fn put(&mut self, node: Node, anchor: usize, merge: bool) -> Result<(), String> {
        self.count(1)?;
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut().map(|open| &mut open.body) {
            None => self.documents.push(node),
            Some(Body::List { items, .. }) => items.push(node),
            Some(Body::Map { map, key }) => match key.take() {
                None => {
                    *key = Some(match node.text() {
                        Some(_) if merge => Key::Merge,
                        Some(text) if text.len() <= MAX_KEY => Key::Text(text.to_owned()),
                        Some(_) | None => Key::Odd,
                    });
                }
                Some(Key::Text(key)) => drop(map.insert(key, node)),
                Some(Key::Odd) => {}
                Some(Key::Merge) => {
                    // The first of several wins; keys that follow in the map win over both.
                    let mut copied = 0;
                    for merged in node.items().iter().rev().filter_map(Node::map) {
                        copied += merged.len();
                        if self.nodes + copied > MAX_NODES {
                            break;
                        }
                        map.extend(merged.iter().map(|(key, value)| (key.clone(), value.clone())));
                    }
                    self.count(copied)?;
                }
            },
        }
        Ok(())
    }
}

fn is_reference(tag: &Tag) -> bool {
    tag.handle == "!" && tag.suffix == "reference"
}

#[cfg(test)]
mod tests {
    use super::super::files::CheckoutPath;
    use super::{MAX_DEPTH, MAX_NODES, Node, Value, read};

    fn root(text: &str) -> Node {
        read(text, &CheckoutPath::root()).expect("good YAML").expect("a value")
    }

    fn refused(text: &str) -> String {
        read(text, &CheckoutPath::root()).err().expect("a refusal")
    }

    /// Writes a value in one line.
    fn flat(node: &Node) -> String {
        match node.value() {
            Value::Null => "null".to_owned(),
            Value::Text(text) => text.clone(),
            Value::List(items) => format!("[{}]", items.iter().map(flat).collect::<Vec<_>>().join(",")),
            Value::Map(map) => {
                let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k}={}", flat(v))).collect();
                format!("{{{}}}", pairs.join(","))
            }
            Value::Reference(path) => format!("!{}", path.join(".")),
        }
    }

    #[test]
    fn values_anchors_merge_keys_and_references_are_read() {
        for (text, value) in [
            ("a: 1\nb: 'null'\nc: ~\nd:", "{a=1,b=null,c=null,d=null}"),
            ("- a\n- [b, {c: d}]", "[a,[b,{c=d}]]"),
            ("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}", "{x={a=1,b=2},y={a=1,b=3}}"),
            ("x: &x {a: 1}\ny: &y {a: 2, b: 2}\nz: {<<: [*x, *y]}", "{x={a=1},y={a=2,b=2},z={a=1,b=2}}"),
            ("s: !reference [.a, script]\nt: [!reference [b, c, d], e]", "{s=!.a.script,t=[!b.c.d,e]}"),
            ("&k a: 1\n*k : 2", "{a=2}"),
            ("? [odd]\n: 1\nb: 2", "{b=2}"),
            ("spec:\n  inputs: {}\n---\na: 1", "{a=1}"),
            ("a: 1\n---\nb: 1", "{a=1}"),
            ("a: |\n  x\n  y\n", "{a=x\ny\n}"),
        ] {
            assert_eq!(flat(&root(text)), value, "{text}");
        }
        assert!(read("# nothing\n", &CheckoutPath::root()).expect("good YAML").is_none());
        assert_eq!(root("a: 1\nb:\n  c: 2").get("b").and_then(|b| b.get("c")).expect("c").place().line, 3);
    }

    #[test]
    fn a_laughing_bomb_takes_no_space_and_deep_nesting_is_refused() {
        let mut bomb = "a0: &a0 [x, x]\n".to_owned();
        for n in 1..40 {
            bomb.push_str(&format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1));
        }
        assert_eq!(root(&bomb).map().expect("a map").len(), 40);
        // By aliases …
        let mut deep = "- &a0 [x]\n".to_owned();
        for n in 1..=usize::from(MAX_DEPTH) {
            deep.push_str(&format!("- &a{n} [*a{}]\n", n - 1));
        }
        assert!(refused(&deep).contains("nests deeper"));
        // … and as it is written.
        assert!(refused(&"[".repeat(60)).contains("nests deeper"));
        assert!(refused(&"- ".repeat(60)).contains("nests deeper"));
    }

    #[test]
    fn many_values_and_what_merge_keys_copy_are_bounded() {
        assert!(refused(&"- a\n".repeat(MAX_NODES + 1)).contains("more than"));
        let keys: String = (0..1000).map(|n| format!("k{n}: , ")).collect();
        let copies = format!("- &a {{{keys}}}\n{}", "- {<<: *a}\n".repeat(60));
        assert!(refused(&copies).contains("more than"));
    }

    #[test]
    fn broken_text_is_refused_with_a_reason() {
        for text in ["a: [", "a: b: c", "*nobody", "- &a [*a]", "\t- x: {"] {
            assert!(!refused(text).is_empty(), "{text}");
        }
    }
}
