use super::*;
use proptest::prelude::*;

/// A few groups of known members.
struct Groups;

impl Resolver for Groups {
    fn group(&self, name: &str) -> Option<BTreeSet<String>> {
        let text = match name {
            "all" => "node[1-9],sat[1-2]",
            "dead" => "node[3,7]",
            "role:satellite" => "sat[1-2]",
            "domain:rack1" => "node[1-4]",
            "domain:rack2" => "node[5-9]",
            _ => return None,
        };
        Some(names(text))
    }
}

fn names(text: &str) -> BTreeSet<String> {
    NodeSet::parse(text, &Groups).unwrap()
}

fn folded(text: &str) -> String {
    fold(names(text).iter().map(String::as_str))
}

fn error(text: &str) -> String {
    NodeSet::parse(text, &Groups).unwrap_err().to_string()
}

#[test]
fn brackets_stand_for_numbers() {
    let all: Vec<String> = names("node[1-3,7],db").into_iter().collect();
    assert_eq!(all, ["db", "node1", "node2", "node3", "node7"]);
    assert_eq!(names("rack[1-4]n[001-064]").len(), 256);
    assert!(names("rack[1-4]n[001-064]").contains("rack4n007"));
    assert_eq!(names("n[1-9/4]"), names("n[1,5,9]"));
    assert_eq!(names("n[1-2][3-4]x"), names("n[13-14,23-24]x"));
}

#[test]
fn zeros_in_front_are_a_width() {
    assert_eq!(names("n[08-11]"), names("n08,n09,n10,n11"));
    assert_eq!(names("n[098-101]"), names("n098,n099,n100,n101"));
    assert_eq!(names("n[08-100]").len(), 93);
    assert_ne!(names("n1"), names("n01"));
}

#[test]
fn operators_apply_from_left_to_right() {
    assert_eq!(names("n[1-5]!n3"), names("n[1-2,4-5]"));
    assert_eq!(names("n[1-5]&n[4-9]"), names("n[4-5]"));
    assert_eq!(names("n[1-3]^n[2-5]"), names("n[1,4-5]"));
    assert_eq!(names("n1,n2&n2,n3"), names("n[2-3]"), "not n1 or (n2 and n2) or n3");
    assert_eq!(names("n1 n2  , n3"), names("n[1-3]"));
    assert_eq!(names("n1!n1"), BTreeSet::new());
}

#[test]
fn groups_are_resolved_and_may_have_brackets() {
    assert_eq!(names("@all!@role:satellite!@dead"), names("node[1-2,4-6,8-9]"));
    assert_eq!(names("@domain:rack[1-2]"), names("node[1-9]"));
    assert_eq!(names("node3&@dead"), names("node3"));
}

#[test]
fn folding_is_what_people_would_write() {
    for text in [
        "",
        "node1",
        "node[1-100]",
        "node[1-100,200]",
        "db,node[1-3]",
        "n[001-064]",
        "n[08-11]",
        "n[1-9,01-09]",
        "rack[1-4]n[001-064]",
        "r[1-2]c[1-3]n[1-4]-eth0",
        "10.0.0.[1-254]",
        "x123456789012345678901[1-2]",
    ] {
        let set = if text.is_empty() { BTreeSet::new() } else { names(text) };
        if text.starts_with('x') {
            assert_eq!(set.len(), 2, "a number of too many digits is text");
        } else {
            assert_eq!(fold(set.iter().map(String::as_str)), text);
        }
    }
    assert_eq!(folded("rack[1-4]n[1-9]!rack2n5"), "rack[1,3-4]n[1-9],rack2n[1-4,6-9]");
}

#[test]
fn a_hole_in_a_grid_costs_one_more_box() {
    let text = folded("r[1-9]n[1-9]!r5n5");
    assert_eq!(text.matches('r').count(), 2, "{text}");
    assert_eq!(names(&text), names("r[1-9]n[1-9]!r5n5"));
}

#[test]
fn errors_point_at_the_place_and_say_what_is_wrong() {
    for (text, wanted) in [
        ("", "column 1: expected a name or a @group, found the end"),
        ("a,,b", "column 3: expected a name or a @group, found ','"),
        ("a,", "column 3: expected a name or a @group, found the end"),
        ("node[", "column 6: expected a number, found the end"),
        ("node[1-", "column 8: expected a number, found the end"),
        ("node[1-3", "column 9: expected a comma or ], found the end"),
        ("node[x]", "column 6: expected a number, found 'x'"),
        ("node]", "column 5: expected one of , ! & ^ or the end, found ']'"),
        ("a,n[5-1]", "column 5: a range runs backwards; write the lower end first"),
        ("é[1-x]", "column 5: expected a number, found 'x'"),
        ("@", "column 2: expected the name of a group, found the end"),
        ("n[1-9/0]", "column 6: a step of 0 leads nowhere; write 1 or more"),
        ("n[1-9999999999999999999]", "column 5: a number has more than 18 digits"),
        ("a,n[1-99999999999]", "column 3: more than 200000 names"),
    ] {
        assert_eq!(error(text), wanted, "{text}");
    }
    assert!(error("n[001-64]").contains("padded differently"));
    assert!(error("n[1-010]").contains("padded differently"));
    assert!(error("a!@rack9").starts_with("column 3: no group @rack9; there are @all"));
}

#[test]
fn expansion_is_bounded_before_it_happens() {
    assert!(error("n[1-4294967295][1-4294967295][1-4294967295]").contains("more than"));
    assert!(error("a[1-150000],b[1-150000]").contains("column 13: more than"));
    assert_eq!(names("n[1-200000]").len(), NAMES_MAX);
}

fn name() -> impl Strategy<Value = String> {
    let number = || {
        prop_oneof![
            (0..30_u32).prop_map(|n| n.to_string()),
            (0..30_u32).prop_map(|n| format!("{n:02}")),
            (90..120_u32).prop_map(|n| format!("{n:03}")),
        ]
    };
    prop_oneof![
        ("[ab]", number()).prop_map(|(text, n)| format!("{text}{n}")),
        ("[ab]", number(), "[-.n]", number()).prop_map(|(a, m, b, n)| format!("{a}{m}{b}{n}")),
        "[a-c0-9.]{1,6}",
    ]
}

fn set() -> impl Strategy<Value = BTreeSet<String>> {
    prop::collection::btree_set(name(), 1..60)
}

/// A set that folds into one term, so that operators between such texts are operators of sets.
fn one_term() -> impl Strategy<Value = BTreeSet<String>> {
    prop::collection::btree_set((0..40_u32).prop_map(|n| format!("n{n}")), 1..30)
}

fn operand() -> impl Strategy<Value = (char, BTreeSet<String>)> {
    (prop::sample::select(vec![',', '!', '&', '^']), one_term())
}

fn text_of(set: &BTreeSet<String>) -> String {
    fold(set.iter().map(String::as_str))
}

proptest! {
    #[test]
    fn what_was_folded_expands_to_the_same_names(set in set()) {
        prop_assert_eq!(names(&text_of(&set)), set);
    }

    #[test]
    fn operators_are_those_of_sets(a in one_term(), rest in prop::collection::vec(operand(), 0..5)) {
        let (mut text, mut wanted) = (text_of(&a), a);
        for (operator, set) in &rest {
            text.push(*operator);
            text.push_str(&text_of(set));
            wanted = match operator {
                ',' => &wanted | set,
                '!' => &wanted - set,
                '&' => &wanted & set,
                _ => &wanted ^ set,
            };
        }
        prop_assert_eq!(names(&text), wanted, "{}", text);
    }

    #[test]
    fn any_text_is_a_set_or_an_error_within_it(text in "[a-c0-9\\[\\],!&^@:/ é-]{0,40}") {
        if let Err(error) = NodeSet::parse(&text, &Groups) {
            prop_assert!((1..=text.chars().count() + 1).contains(&error.column));
        }
    }
}
