//! The tables of PROTOCOL.md, made from the sources of `engine/wire`.
//!
//! Nobody keeps the tables by hand: what stands between the two markers is written by
//! `cargo x golden --write` and compared by `cargo x golden` and `cargo x tidy`.

mod layouts;
mod model;
mod parse;
mod render;

use crate::finding::Finding;
use crate::tree::Tree;

/// The document.
pub(crate) const DOCUMENT: &str = "PROTOCOL.md";
/// What the document is before anything stands in it.
pub(crate) const EMPTY_DOCUMENT: &str =
    "# The protocol\n\n<!-- frames:begin -->\n<!-- frames:end -->\n";

const BEGIN: &str = "<!-- frames:begin -->";
const END: &str = "<!-- frames:end -->";

/// Compares the tables in the document with the sources.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(present) = tree.text(DOCUMENT) else {
        return vec![Finding::file(DOCUMENT, "the document is missing")];
    };
    match updated(tree, present) {
        Err(error) => vec![Finding::file(DOCUMENT, error)],
        Ok(wanted) => difference(present, &wanted).into_iter().collect(),
    }
}

/// The document with its tables made anew.
///
/// # Errors
/// When a marker is missing, or a source has a shape that cannot be read.
pub(crate) fn updated(tree: &Tree, document: &str) -> Result<String, String> {
    let missing = || format!("the markers {BEGIN} and {END} are missing");
    let (before, rest) = document.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    let tables = render::tables(&parse::wire(tree)?)?;
    Ok(format!("{before}{BEGIN}\n{tables}{END}{after}"))
}

fn difference(present: &str, wanted: &str) -> Option<Finding> {
    let mut lines = wanted.lines().zip(present.lines()).enumerate();
    let (index, wanted_line) = match lines.find(|(_, (wanted, present))| wanted != present) {
        Some((index, (wanted, _))) => (index, wanted),
        None if present == wanted => return None,
        None => (present.lines().count(), "more or fewer lines"),
    };
    let text = format!("differs from engine/wire; wanted: {wanted_line} (cargo x golden --write)");
    Some(Finding::at(DOCUMENT, index + 1, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMES: &str = "frames! {\n    /// A sign.\n    Beat(beat::Beat) = 7,\n}\n";
    const BEAT: &str = "layout! {\n    /// I live.\n    pub struct Beat: 6 {\n        /// Who.\n        \
                        slot: Slot,\n        /// How.\n        health: u16,\n    }\n}\n\
                        fixed_frame!(Beat, Beat);\n";

    fn planted(document: &str, beat: &str) -> Tree {
        Tree::planted(&[
            (DOCUMENT, document),
            ("engine/wire/src/frame.rs", FRAMES),
            ("engine/wire/src/beat.rs", beat),
            ("engine/wire/src/limits.rs", ""),
        ])
    }

    #[test]
    fn tables_that_were_written_pass_and_are_stable() {
        let tree = planted("", BEAT);
        let document = updated(&tree, EMPTY_DOCUMENT).unwrap();
        assert!(document.contains("| 4 | 2 | `health` | u16 | How. |"), "{document}");
        assert_eq!(updated(&tree, &document).unwrap(), document);
        assert_eq!(check(&planted(&document, BEAT)), []);
    }

    #[test]
    fn a_field_that_changed_behind_the_document_is_found() {
        let document = updated(&planted("", BEAT), EMPTY_DOCUMENT).unwrap();
        let changed = BEAT.replace("u16", "u32").replace(": 6", ": 8");
        assert_eq!(check(&planted(&document, &changed)).len(), 1);
    }

    #[test]
    fn a_size_that_is_not_the_sum_of_its_fields_is_found() {
        let wrong = BEAT.replace(": 6", ": 7");
        let found = check(&planted(EMPTY_DOCUMENT, &wrong));
        assert!(found[0].text.contains("Beat announces 7 bytes and has 6"), "{found:?}");
    }

    #[test]
    fn a_kind_without_a_frame_is_found() {
        let found = check(&planted(EMPTY_DOCUMENT, ""));
        assert!(found[0].text.contains("Beat"), "{found:?}");
    }

    #[test]
    fn missing_markers_are_found() {
        assert!(check(&planted("# empty", BEAT))[0].text.contains("markers"));
    }
}
