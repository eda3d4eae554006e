//! Reads the wire crate: which frames there are and what each holds.

use super::layouts::{Lines, borrowed, bounds, constants, layouts};
use super::model::{Field, Frame, Part, Wire, size_of};
use crate::tree::Tree;

const FOLDER: &str = "engine/wire/src/";

/// Reads all sources of the wire crate.
///
/// # Errors
/// When a frame, its layout or its emit function has a shape that cannot be read, or a size that
/// is not the sum of its fields.
pub(crate) fn wire(tree: &Tree) -> Result<Wire, String> {
    let mut wire = Wire::default();
    for (path, text) in tree.files().filter(|(path, _)| path.starts_with(FOLDER)) {
        for layout in layouts(text).map_err(|error| format!("{path}: {error}"))? {
            wire.layouts.insert(layout.name.clone(), layout);
        }
        let module = path.trim_start_matches(FOLDER).trim_end_matches(".rs");
        for (owner, constant) in constants(text, module) {
            wire.constants.entry(owner).or_default().push(constant);
        }
        if path.ends_with("/idset.rs") {
            let words = text.lines().map_while(|line| line.strip_prefix("//!"));
            wire.sets = words.map(str::trim).collect::<Vec<_>>().join("\n").replace("\n\n", " ");
        }
        if path.ends_with("/limits.rs") {
            wire.bounds = bounds(text);
        }
    }
    for layout in wire.layouts.values() {
        let sizes = layout.fields.iter().map(|field| size_of(&field.ty, &wire.layouts));
        let sum: usize = sizes.sum::<Result<usize, String>>()?;
        if sum != layout.size {
            return Err(format!("{} announces {} bytes and has {sum}", layout.name, layout.size));
        }
    }
    let kinds = tree.text(&format!("{FOLDER}frame.rs")).ok_or("frame.rs is missing")?;
    let (_, block) =
        kinds.split_once("\nframes! {").or(kinds.split_once("frames! {")).ok_or("no frames")?;
    let mut lines = Lines::new(block);
    while let Some((line, meaning)) = lines.item().filter(|(line, _)| *line != "}") {
        let frame = frame(tree, line, meaning, &wire)?;
        wire.frames.insert(frame.number, frame);
    }
    Ok(wire)
}

/// One frame from its line in the table of kinds: `Kind(module::Type<'a>) = number,`.
fn frame(tree: &Tree, line: &str, meaning: String, wire: &Wire) -> Result<Frame, String> {
    let unreadable = || format!("cannot read the kind `{line}`");
    let (kind, rest) = line.split_once('(').ok_or_else(unreadable)?;
    let (ty, number) = rest.trim_end_matches(',').split_once(") = ").ok_or_else(unreadable)?;
    let number = number.parse().map_err(|_| unreadable())?;
    let (module, ty) = ty.split_once("::").ok_or_else(unreadable)?;
    let name = ty.trim_end_matches("<'a>").to_owned();
    let text = tree
        .text(&format!("{FOLDER}{module}.rs"))
        .ok_or_else(|| format!("{kind}: there is no {module}.rs"))?;
    let frame =
        |doc, parts| Frame { kind: kind.into(), number, meaning, name: name.clone(), doc, parts };
    let fixed = format!("\nfixed_frame!({name}, {kind}");
    if text.contains(&format!("{fixed});")) || text.contains(&format!("{fixed}, ")) {
        let layout = wire.layouts.get(&name).ok_or_else(|| format!("{kind}: no layout {name}"))?;
        return Ok(frame(layout.doc.clone(), vec![Part::Fixed(name.clone())]));
    }
    let (doc, fields) =
        borrowed(text, &name).ok_or_else(|| format!("{kind}: there is no struct {name}"))?;
    let parts = parts(text, &name, &fields).map_err(|error| format!("{kind}: {error}"))?;
    Ok(frame(doc, parts))
}

/// What a frame writes, in order, with the bounds that its parser sets.
fn parts(text: &str, name: &str, fields: &[Field]) -> Result<Vec<Part>, String> {
    let writes = calls(text, &format!("impl Emit for {name}<'_> {{"), "writer.")?;
    let reads = calls(text, &format!("impl<'a> Parse<'a> for {name}<'a> {{"), "reader.")?;
    let mut bounds = reads.into_iter().filter(|(verb, _)| is_bounded(verb));
    let mut parts = Vec::new();
    for (verb, argument) in writes {
        let field_name = argument.trim_start_matches('&').trim_start_matches("self.");
        let field_name = field_name.split(['.', ',']).next().unwrap_or(field_name);
        let field = fields.iter().find(|field| field.name == field_name);
        let field = field.ok_or_else(|| format!("emits `{argument}`, which is no field"))?.clone();
        parts.push(match verb.as_str() {
            "fixed" => Part::Fixed(field.ty),
            "field" => Part::Field(field),
            "put" => Part::Varying { verb, field, bound: String::new() },
            _ if is_bounded(&verb) => {
                let (_, bound) = bounds.next().ok_or("parses less than it emits")?;
                Part::Varying { verb, field, bound: bound.replace("Self::", &format!("{name}::")) }
            }
            _ => return Err(format!("emits by an unknown `{verb}`")),
        });
    }
    match bounds.next() {
        Some((verb, bound)) => Err(format!("parses `{verb}({bound})` more than it emits")),
        None => Ok(parts),
    }
}

fn is_bounded(verb: &str) -> bool {
    matches!(verb, "list" | "short" | "text" | "long" | "long_text")
}

/// Calls of a cursor within a block, as (method, argument).
fn calls(text: &str, head: &str, cursor: &str) -> Result<Vec<(String, String)>, String> {
    let (_, block) = text.split_once(head).ok_or_else(|| format!("there is no `{head}`"))?;
    let block = block.split("\n}").next().unwrap_or(block);
    let calls = block.split(cursor).skip(1).filter_map(|call| {
        let (verb, rest) = call.split_once('(')?;
        let verb = verb.split("::<").next().unwrap_or(verb);
        let mut depth = 1_usize;
        let end = rest.char_indices().find(|(_, c)| {
            depth = match c {
                '(' => depth + 1,
                ')' => depth - 1,
                _ => depth,
            };
            depth == 0
        })?;
        Some((verb.to_owned(), rest[..end.0].to_owned()))
    });
    Ok(calls.collect())
}
