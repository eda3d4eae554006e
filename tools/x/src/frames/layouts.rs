//! Reads blocks of a wire source: fixed structs, borrowed structs, constants.

use super::model::{Constant, Field, Layout};

/// A source, line by line, with the doc comment that stands in front of each item.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    rest: std::str::Lines<'a>,
    doc: Vec<&'a str>,
}

impl<'a> Lines<'a> {
    /// Starts at the front of a source.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text.lines(), doc: Vec::new() }
    }

    /// The next line that is neither doc comment nor attribute nor empty, and its doc comment.
    pub(crate) fn item(&mut self) -> Option<(&'a str, String)> {
        loop {
            let line = self.rest.next()?.trim();
            if let Some(text) = line.strip_prefix("///") {
                self.doc.push(text.trim());
            } else if line.is_empty() || line.starts_with("//") {
                self.doc.clear();
            } else if !line.starts_with("#[") {
                return Some((line, plain(&std::mem::take(&mut self.doc).join(" "))));
            }
        }
    }

    /// The fields up to the closing brace.
    pub(crate) fn fields(&mut self) -> Vec<Field> {
        let mut fields = Vec::new();
        while let Some((line, doc)) = self.item().filter(|(line, _)| *line != "}") {
            let declared = line.trim_start_matches("pub ").trim_end_matches(',').split_once(": ");
            if let Some((name, ty)) = declared {
                fields.push(Field { name: name.into(), ty: ty.into(), doc });
            }
        }
        fields
    }
}

/// Doc text for Markdown tables: links become code, bars are escaped.
fn plain(doc: &str) -> String {
    doc.replace("[`", "`").replace("`]", "`").replace('|', "\\|")
}

/// All fixed structs of a source: the blocks of `layout!`.
///
/// # Errors
/// When a block has no size that can be read.
pub(crate) fn layouts(text: &str) -> Result<Vec<Layout>, String> {
    let mut all = Vec::new();
    let mut blocks = text.split("layout! {\n").peekable();
    while let (Some(before), Some(block)) = (blocks.next(), blocks.peek()) {
        if !(before.is_empty() || before.ends_with('\n')) {
            continue;
        }
        let mut lines = Lines::new(block);
        let (line, doc) = lines.item().ok_or("a layout without a struct")?;
        let (name, size) = line
            .strip_prefix("pub struct ")
            .and_then(|rest| rest.strip_suffix(" {"))
            .and_then(|rest| rest.split_once(": "))
            .ok_or_else(|| format!("cannot read the layout `{line}`"))?;
        let size = size.parse().map_err(|_| format!("cannot read the size of {name}"))?;
        all.push(Layout { name: name.into(), size, doc, fields: lines.fields() });
    }
    Ok(all)
}

/// A struct that borrows: its doc comment and fields.
pub(crate) fn borrowed(text: &str, name: &str) -> Option<(String, Vec<Field>)> {
    let mut lines = Lines::new(text);
    let head = format!("pub struct {name}<'a> {{");
    loop {
        let (line, doc) = lines.item()?;
        if line == head {
            return Some((doc, lines.fields()));
        }
    }
}

/// Public numbers of a source by the type whose `impl` holds them, or by `module::enum`.
pub(crate) fn constants(text: &str, module: &str) -> Vec<(String, Constant)> {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
    let mut all = Vec::new();
    let mut owner = None;
    let mut lines = Lines::new(text);
    while let Some((line, doc)) = lines.item() {
        if let Some(rest) = line.strip_prefix("impl").filter(|_| line.ends_with('{')) {
            let rest = rest.trim_start_matches("<'a>").trim();
            let name = rest.split(['<', ' ']).next().unwrap_or(rest);
            owner = (!rest.contains(" for ")).then(|| (name.to_owned(), false));
        } else if let Some(name) = line.strip_prefix("pub enum ") {
            owner = Some((format!("{module}::{}", name.trim_end_matches(" {")), true));
        } else if let Some((name, is_enum)) = &owner {
            let number = if *is_enum { variant(line) } else { number(line) };
            all.extend(number.map(|(number, value)| {
                (name.clone(), Constant { name: number.into(), value: value.into(), doc })
            }));
        }
    }
    all
}

/// `pub const NAME: usize = value;` of a file of bounds.
pub(crate) fn bounds(text: &str) -> Vec<Constant> {
    let mut lines = Lines::new(text);
    let mut all = Vec::new();
    while let Some((line, doc)) = lines.item() {
        all.extend(number(line).map(|(name, value)| Constant {
            name: name.into(),
            value: value.into(),
            doc,
        }));
    }
    all
}

fn number(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_prefix("pub const ")?.split_once(": ")?;
    let (ty, value) = rest.strip_suffix(';')?.split_once(" = ")?;
    let value = value.strip_prefix("Self(").and_then(|v| v.strip_suffix(')')).unwrap_or(value);
    let is_number = matches!(ty, "u8" | "u16" | "u32" | "i32" | "usize" | "Self");
    let is_derived = value.contains("Self") || value.contains(['{', '&']);
    (is_number && !is_derived).then_some((name, value))
}

fn variant(line: &str) -> Option<(&str, &str)> {
    line.strip_suffix(',')?.split_once(" = ")
}
