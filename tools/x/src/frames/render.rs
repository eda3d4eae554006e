//! Writes the tables.

use super::model::{Constant, Field, Frame, Layout, Part, TYPES, Wire, size_of};
use std::collections::BTreeSet;

/// Headers that stand in front of everything, and are shown first.
const HEADERS: &[(&str, &str)] = &[
    ("Header", "In front of every datagram"),
    ("Brief", "Or, in front of one with a sign of life alone"),
    ("FrameHeader", "In front of every frame"),
];

/// All tables, as Markdown.
///
/// # Errors
/// When a type is not known.
pub(crate) fn tables(wire: &Wire) -> Result<String, String> {
    let mut page = Page { wire, out: String::new(), shown: BTreeSet::new() };
    page.text("");
    for &(name, title) in HEADERS {
        if let Some(layout) = wire.layouts.get(name) {
            page.text(&format!("### {title}: {name}, {} bytes\n", layout.size));
            page.layout(layout)?;
            page.numbers([name]);
        }
    }
    page.types();
    page.index();
    for frame in wire.frames.values() {
        page.frame(frame)?;
    }
    page.leftovers()?;
    page.bounds();
    Ok(page.out)
}

#[derive(Debug)]
struct Page<'a> {
    wire: &'a Wire,
    out: String,
    shown: BTreeSet<&'a str>,
}

impl<'a> Page<'a> {
    fn text(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    fn types(&mut self) {
        self.text("### Types\n");
        self.text("Numbers are little-endian; nothing is padded or aligned.\n");
        self.text("| type | bytes | what it is |");
        self.text("|---|---:|---|");
        for (name, bytes, meaning) in TYPES {
            self.text(&format!("| {name} | {bytes} | {meaning} |"));
        }
        self.text(&format!("\n{}\n", self.wire.sets));
    }

    fn index(&mut self) {
        self.text("### Kinds\n");
        self.text("| number | kind | bytes of the body | what it is |");
        self.text("|---:|---|---|---|");
        for frame in self.wire.frames.values() {
            let Frame { number, kind, meaning, .. } = frame;
            let size = self.size(frame);
            self.text(&format!("| {number} | {kind} | {size} | {meaning} |"));
        }
        self.text("");
    }

    /// The bytes of a body: a number, or the least one and a plus sign.
    fn size(&self, frame: &Frame) -> String {
        let bytes = frame.parts.iter().map(|part| match part {
            Part::Fixed(name) => size_of(name, &self.wire.layouts).unwrap_or(0),
            Part::Field(field) => size_of(&field.ty, &self.wire.layouts).unwrap_or(0),
            Part::Varying { verb, .. } => prefix(verb),
        });
        let least: usize = bytes.sum();
        let varies = frame.parts.iter().any(|part| matches!(part, Part::Varying { .. }));
        if varies { format!("{least} or more") } else { least.to_string() }
    }

    fn frame(&mut self, frame: &'a Frame) -> Result<(), String> {
        let size = self.size(frame);
        self.text(&format!("### {} · {}, {size} bytes\n", frame.number, frame.kind));
        self.text(&format!("{}\n", frame.doc));
        self.head_of_table();
        let mut offset = Some(0);
        let (mut nested, mut owners) = (Vec::new(), BTreeSet::from([frame.name.as_str()]));
        for part in &frame.parts {
            match part {
                Part::Fixed(name) => {
                    let layout = self.wire.layouts.get(name).ok_or_else(|| format!("no {name}"))?;
                    self.shown.insert(name);
                    owners.insert(name);
                    for field in &layout.fields {
                        self.row(&mut offset, field)?;
                        nested.push(field.ty.as_str());
                    }
                }
                Part::Field(field) => self.row(&mut offset, field)?,
                Part::Varying { verb, field, bound } => {
                    self.varying(&mut offset, verb, field, bound);
                    nested.extend(item_of(field));
                }
            }
        }
        self.text("");
        self.numbers(owners);
        self.items(nested)
    }

    fn head_of_table(&mut self) {
        self.text("| at | bytes | field | type | meaning |");
        self.text("|---:|---:|---|---|---|");
    }

    fn layout(&mut self, layout: &'a Layout) -> Result<(), String> {
        self.shown.insert(&layout.name);
        self.head_of_table();
        let mut offset = Some(0);
        for field in &layout.fields {
            self.row(&mut offset, field)?;
        }
        self.text("");
        Ok(())
    }

    /// A field of fixed size; behind one of varying size its place is not known.
    fn row(&mut self, offset: &mut Option<usize>, field: &Field) -> Result<(), String> {
        let size = size_of(&field.ty, &self.wire.layouts)?;
        let at = offset.map_or("then".to_owned(), |at| at.to_string());
        self.text(&format!("| {at} | {size} | `{}` | {} | {} |", field.name, field.ty, field.doc));
        *offset = offset.map(|at| at + size);
        Ok(())
    }

    fn varying(&mut self, offset: &mut Option<usize>, verb: &str, field: &Field, bound: &str) {
        let at = offset.map_or("then".to_owned(), |at| at.to_string());
        let bound = bound.trim();
        let (size, ty) = match verb {
            "list" => {
                let item = item_of(field).unwrap_or("item");
                let size = size_of(item, &self.wire.layouts).unwrap_or(0);
                (format!("2 + n × {size}"), format!("u16 count n ≤ `{bound}`, then n × {item}"))
            }
            "short" => {
                ("1 + n".into(), format!("u8 length n ≤ `{bound}`, then n bytes{}", utf8(field)))
            }
            "long_text" => ("2 + n".into(), format!("u16 length n ≤ `{bound}`, then UTF-8")),
            "long" => {
                ("4 + n".into(), format!("u32 length n ≤ `{bound}`, then n bytes{}", set(field)))
            }
            _ => ("rest".into(), "all bytes up to the end of the frame".to_owned()),
        };
        self.text(&format!("| {at} | {size} | `{}` | {ty} | {} |", field.name, field.doc));
        *offset = None;
    }

    /// Flags, states and refusals that belong to the given types.
    fn numbers<'o>(&mut self, owners: impl IntoIterator<Item = &'o str>) {
        let wire = self.wire;
        let owners = owners.into_iter();
        let numbers = owners.filter_map(|owner| Some((owner, wire.constants.get(owner)?)));
        let mut any = false;
        for (owner, constants) in numbers {
            for Constant { name, value, doc } in constants {
                self.text(&format!("- `{owner}::{name}` = {value}: {doc}"));
                any = true;
            }
        }
        if any {
            self.text("");
        }
    }

    /// Structs inside of the frame, each shown where it is met first.
    fn items(&mut self, mut names: Vec<&'a str>) -> Result<(), String> {
        while let Some(name) = names.pop() {
            let Some(layout) = self.wire.layouts.get(name) else { continue };
            if self.shown.contains(name) {
                continue;
            }
            self.text(&format!("**{name}**, {} bytes: {}\n", layout.size, layout.doc));
            self.layout(layout)?;
            self.numbers([name]);
            names.extend(layout.fields.iter().map(|field| field.ty.as_str()));
        }
        Ok(())
    }

    /// Structs that no field names (they stand inside of byte strings), and enums.
    fn leftovers(&mut self) -> Result<(), String> {
        self.text("### Parts and numbers used in several places\n");
        self.items(self.wire.layouts.keys().map(String::as_str).collect())?;
        let wire = self.wire;
        let owners = wire.constants.keys().map(String::as_str);
        let is_shown = |owner: &str| {
            wire.layouts.contains_key(owner)
                || wire.frames.values().any(|frame| frame.name == owner)
        };
        let rest: Vec<&str> = owners.filter(|owner| !is_shown(owner)).collect();
        self.numbers(rest);
        Ok(())
    }

    fn bounds(&mut self) {
        self.text("### Bounds\n");
        self.text("| name | value | meaning |");
        self.text("|---|---|---|");
        let wire = self.wire;
        for Constant { name, value, doc } in &wire.bounds {
            self.text(&format!("| `{name}` | {value} | {doc} |"));
        }
        self.text("");
    }
}

/// Bytes in front of a part of varying length.
fn prefix(verb: &str) -> usize {
    match verb {
        "short" => 1,
        "list" | "long_text" => 2,
        "long" => 4,
        _ => 0,
    }
}

/// The item of a list: `List<'a, Item>`.
fn item_of(field: &Field) -> Option<&str> {
    field.ty.strip_prefix("List<'a, ")?.strip_suffix('>')
}

fn utf8(field: &Field) -> &'static str {
    if field.ty == "&'a str" { " of UTF-8" } else { "" }
}

fn set(field: &Field) -> &'static str {
    if field.ty.starts_with("IdSet") { ": a set of slots" } else { "" }
}
