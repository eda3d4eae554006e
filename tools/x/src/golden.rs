//! `cargo x golden`: golden frames and the tables of PROTOCOL.md.

use crate::frames;
use crate::steps::Steps;
use crate::tree::{Tree, root};
use std::fs;

const FRAMES: &[&str] = &["test", "--package", "syncom-wire", "--test", "golden"];
const FRAMES_WRITE: &[&str] = &[
    "test",
    "--package",
    "syncom-wire",
    "--test",
    "golden",
    "the_bytes_of_every_frame_are_the_committed_ones",
];

/// Compares; writes nothing.
pub(crate) fn check(steps: &mut Steps) {
    steps.check("tables of PROTOCOL.md", frames::check);
    steps.run("golden frames", "cargo", FRAMES);
}

/// Writes both anew.
pub(crate) fn write(steps: &mut Steps) {
    steps.step("write the tables of PROTOCOL.md", || match written() {
        Ok(()) => true,
        Err(error) => {
            println!("    {error}");
            false
        }
    });
    let variables = [("SYNCOM_GOLDEN_WRITE", "1")];
    steps.run_with("write the golden frames", "cargo", FRAMES_WRITE, &variables);
}

fn written() -> Result<(), String> {
    let tree = Tree::of_the_project()?;
    let present = tree.text(frames::DOCUMENT).unwrap_or(frames::EMPTY_DOCUMENT);
    let text = frames::updated(&tree, present)?;
    if text == present {
        return Ok(());
    }
    fs::write(root().join(frames::DOCUMENT), text).map_err(|error| error.to_string())
}
