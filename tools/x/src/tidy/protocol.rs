//! PROTOCOL.md shows every frame as the sources lay it out.

use crate::finding::Finding;
use crate::frames;
use crate::tree::Tree;

/// Compares the generated tables with what stands in the document.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    frames::check(tree)
}
