//! The curve of detection, against the committed table and picture. A build with debug assertions
//! measures the small clusters only; `cargo x curve` measures all of them. When the curve changes
//! for a reason, `cargo x curve --write` writes it anew.

use std::path::PathBuf;
use syncom_sim::scale::{Curve, picture};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

#[test]
fn detection_takes_and_costs_what_the_committed_curve_says() {
    let sizes = if cfg!(debug_assertions) { &Curve::NODES[..2] } else { &Curve::NODES[..] };
    let curve = Curve::measure(sizes);
    if std::env::var_os("SYNCOM_GOLDEN_WRITE").is_some() {
        assert_eq!(sizes, Curve::NODES, "write it with a release build, which measures all sizes");
        std::fs::write(file("detection.txt"), curve.table()).unwrap();
        std::fs::write(file("detection.svg"), picture::svg(&curve)).unwrap();
    }
    let committed = std::fs::read_to_string(file("detection.txt")).unwrap();
    let wanted = Curve::lines_of(&committed, sizes);
    assert_eq!(curve.table(), wanted, "it is now:\n{}", curve.table());
    assert!(curve.points.iter().all(|point| point.wrong == 0), "a false or a missed death");
}

#[test]
fn the_picture_shows_the_committed_table() {
    let curve = Curve::of_table(&std::fs::read_to_string(file("detection.txt")).unwrap()).unwrap();
    let picture = std::fs::read_to_string(file("detection.svg")).unwrap();
    assert_eq!(picture, picture::svg(&curve));
}
