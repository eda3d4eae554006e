//! `cargo x golden`: golden frames, the tables of PROTOCOL.md, and the curve of detection.

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

/// The curve of detection up to 10,000 nodes: minutes, and only in a release build. The tests of the
/// simulator compare its small clusters.
const CURVE: &[&str] = &["test", "--release", "--package", "syncom-sim", "--test", "curve"];

/// Compares the curve of detection; writes nothing.
pub(crate) fn check_curve(steps: &mut Steps) {
    steps.run("curve of detection", "cargo", CURVE);
}

/// Compares; writes nothing.
pub(crate) fn check(steps: &mut Steps) {
    steps.check("tables of PROTOCOL.md", frames::check);
    steps.run("golden frames", "cargo", FRAMES);
}

/// Writes the frames and tables anew.
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

/// Measures the curve of detection and writes its table and picture.
pub(crate) fn write_curve(steps: &mut Steps) {
    let variables = [("SYNCOM_GOLDEN_WRITE", "1")];
    steps.run_with("write the curve of detection", "cargo", CURVE, &variables);
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
