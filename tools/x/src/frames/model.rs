//! The wire as the document shows it.

use std::collections::BTreeMap;

/// A field of a fixed struct.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// Its name.
    pub(crate) name: String,
    /// Its native type.
    pub(crate) ty: String,
    /// Its doc comment.
    pub(crate) doc: String,
}

/// A fixed struct.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Its name.
    pub(crate) name: String,
    /// Its announced size.
    pub(crate) size: usize,
    /// Its doc comment.
    pub(crate) doc: String,
    /// Its fields in order.
    pub(crate) fields: Vec<Field>,
}

/// What a frame holds, in order.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// A fixed struct.
    Fixed(String),
    /// A single field.
    Field(Field),
    /// Something of varying length.
    Varying {
        /// The method of the writer: `list`, `short`, `long`, `long_text` or `put`.
        verb: String,
        /// Its name, type and doc comment.
        field: Field,
        /// Its bound, as the parser names it; empty for the rest of a frame.
        bound: String,
    },
}

/// A kind of frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Its name in documents.
    pub(crate) kind: String,
    /// Its number on the wire.
    pub(crate) number: u8,
    /// What the kind is.
    pub(crate) meaning: String,
    /// Name of the struct behind it.
    pub(crate) name: String,
    /// Doc comment of that struct.
    pub(crate) doc: String,
    /// What it holds.
    pub(crate) parts: Vec<Part>,
}

/// A named number: a flag, a state, a verb, a bound.
#[derive(Clone, Debug)]
pub(crate) struct Constant {
    /// Its name.
    pub(crate) name: String,
    /// Its value, as the source writes it.
    pub(crate) value: String,
    /// Its doc comment.
    pub(crate) doc: String,
}

/// Everything.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    /// Fixed structs by name.
    pub(crate) layouts: BTreeMap<String, Layout>,
    /// Frames by number.
    pub(crate) frames: BTreeMap<u8, Frame>,
    /// Named numbers by the type that they belong to.
    pub(crate) constants: BTreeMap<String, Vec<Constant>>,
    /// How sets of slots are written: the module's own words.
    pub(crate) sets: String,
    /// Bounds of the wire, in the order of their file.
    pub(crate) bounds: Vec<Constant>,
}

/// Bytes of a type on the wire.
pub(crate) fn size_of(ty: &str, layouts: &BTreeMap<String, Layout>) -> Result<usize, String> {
    let array = ty.strip_prefix("[u8; ").and_then(|rest| rest.strip_suffix(']'));
    if let Some(len) = array {
        return len.parse().map_err(|_| format!("cannot read the length of {ty}"));
    }
    if let Some((_, bytes, _)) = TYPES.iter().find(|(name, ..)| *name == ty) {
        return Ok(*bytes);
    }
    layouts.get(ty).map(|layout| layout.size).ok_or_else(|| format!("unknown type {ty}"))
}

/// Types of single fields: name, bytes, meaning.
pub(crate) const TYPES: &[(&str, usize, &str)] = &[
    ("u8", 1, "number"),
    ("u16", 2, "number"),
    ("u32", 4, "number"),
    ("u64", 8, "number"),
    ("i32", 4, "number, two's complement"),
    ("Slot", 4, "u32: a node's dense number; all ones for none"),
    ("Incarnation", 4, "u32: one life of a node's agent, counted by the station"),
    ("View", 8, "u64: number of a membership list, the Raft index of the entry that made it"),
    ("Term", 8, "u64: Raft term, and fencing token of orders"),
    ("Boot", 8, "u64: one life of a process on the wire, Unix time in ns at its start"),
    ("OrderId", 8, "u64: number of an order"),
    ("Uuid", 16, "a host's identity, as its text is written"),
    (
        "PeerId",
        4,
        "u32: an agent's slot; from 0x80000000 a client; from 0xFFFE0000 a satellite's number; from \
         0xFFFF0000 a replica's; all ones for anybody",
    ),
    ("Subject", 8, "u64: a node's slot, or the hash of a name with the top bit set"),
    ("EventKind", 4, "u32: a built-in kind, or the hash of a name with the top bit set"),
    ("Addr", 18, "16 bytes of IPv6 address (IPv4 mapped into it, network order), u16 port"),
];
