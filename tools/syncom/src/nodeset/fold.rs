//! Many names in few characters: the way back from names to notation.

use super::number::{Number, ranges};
use std::collections::{BTreeMap, BTreeSet};

/// One set of numbers for each place of a name that has some: a box of names.
type Numbers = Vec<Vec<Number>>;

/// Writes names as a node set, folded: `node[1-3]`, `rack[1-4]n[001-064],spare`.
///
/// Names that differ in numbers only share brackets. Of names with several numbers, boxes are
/// merged along each number in turn, from the right and from the left, and the shorter result is
/// taken: exact always, shortest for full grids. Names that hold characters of the notation stand
/// as they are.
#[must_use]
pub fn fold<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let mut shapes: BTreeMap<Vec<&str>, BTreeSet<Vec<Number>>> = BTreeMap::new();
    for name in names {
        let (texts, numbers) = split(name);
        shapes.entry(texts).or_default().insert(numbers);
    }
    let folded: Vec<String> =
        shapes.iter().map(|(texts, members)| fold_shape(texts, members)).collect();
    folded.join(",")
}

/// Cuts a name into texts and the numbers between them: always one text more than numbers.
fn split(name: &str) -> (Vec<&str>, Vec<Number>) {
    let (mut texts, mut numbers) = (Vec::new(), Vec::new());
    let (mut from, mut at) = (0, 0);
    while let Some(found) = name[at..].find(|c: char| c.is_ascii_digit()) {
        let start = at + found;
        let rest = &name[start..];
        at = start + rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if let Some(number) = Number::new(&name[start..at]) {
            texts.push(&name[from..start]);
            numbers.push(number);
            from = at;
        }
    }
    texts.push(&name[from..]);
    (texts, numbers)
}

/// Folds names that have the same texts.
fn fold_shape(texts: &[&str], members: &BTreeSet<Vec<Number>>) -> String {
    let boxes = || -> Vec<Numbers> {
        let alone = |member: &Vec<Number>| member.iter().map(|number| vec![*number]).collect();
        members.iter().map(alone).collect()
    };
    let places = texts.len() - 1;
    let from_the_right = write(texts, merged(boxes(), (0..places).rev()));
    if places < 2 {
        return from_the_right;
    }
    let from_the_left = write(texts, merged(boxes(), 0..places));
    if from_the_left.len() < from_the_right.len() { from_the_left } else { from_the_right }
}

/// Merges boxes that differ in one place only, place by place, until nothing changes.
fn merged(mut boxes: Vec<Numbers>, places: impl Iterator<Item = usize> + Clone) -> Vec<Numbers> {
    loop {
        let before = boxes.len();
        for place in places.clone() {
            let mut groups: BTreeMap<Numbers, Vec<Number>> = BTreeMap::new();
            for mut numbers in boxes {
                let mut here = numbers.remove(place);
                groups.entry(numbers).or_default().append(&mut here);
            }
            let merged = groups.into_iter().map(|(mut numbers, mut here)| {
                here.sort_unstable();
                numbers.insert(place, here);
                numbers
            });
            boxes = merged.collect();
        }
        if boxes.len() == before {
            boxes.sort();
            return boxes;
        }
    }
}

fn write(texts: &[&str], boxes: Vec<Numbers>) -> String {
    let mut out = String::new();
    for numbers in boxes {
        if !out.is_empty() {
            out.push(',');
        }
        for (place, text) in texts.iter().enumerate() {
            out.push_str(text);
            match numbers.get(place).map(Vec::as_slice) {
                None => {}
                Some(one @ [_]) => out.push_str(&ranges(one)),
                Some(many) => {
                    out.push('[');
                    out.push_str(&ranges(many));
                    out.push(']');
                }
            }
        }
    }
    out
}
