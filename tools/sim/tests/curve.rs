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
        let rounded = Curve::of_table(&curve.table()).unwrap();
        std::fs::write(file("detection.txt"), curve.table()).unwrap();
        std::fs::write(file("detection.svg"), picture::svg(&rounded)).unwrap();
    }
    let committed = std::fs::read_to_string(file("detection.txt")).unwrap();
    let wanted = Curve::lines_of(&committed, sizes);
    assert_eq!(curve.table(), wanted, "it is now:\n{}", curve.table());
    let committed = Curve::of_table(&committed).unwrap();
    let drawn = std::fs::read_to_string(file("detection.svg")).unwrap();
    assert_eq!(drawn, picture::svg(&committed), "the picture is not of the table");
}
