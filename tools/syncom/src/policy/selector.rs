//! Node sets as selectors: not expanded, so they hold for nodes that are yet to come.

use crate::nodeset::{NodeSetError, Operator, Reason, terms};
use syncom_wire::bytes::Writer;
use syncom_wire::limits::{SELECTOR_MAX, TERMS_MAX};
use syncom_wire::selector::{self, Holds, Selector, Term, state_named};

/// The image of a node set. `*` and `?` stand for any text and any character.
pub(super) fn compile(text: &str) -> Result<Vec<u8>, String> {
    let parsed = terms(text).map_err(|error| error.to_string())?;
    if parsed.len() > TERMS_MAX {
        return Err(format!("more than {TERMS_MAX} terms; name a domain or use * instead"));
    }
    let mut image = vec![0; SELECTOR_MAX];
    let mut writer = Writer::new(&mut image);
    for one in &parsed {
        let (holds, text) =
            if one.is_group { group(&one.text)? } else { (Holds::Names, &*one.text) };
        let operator = match one.operator {
            Operator::Union => selector::Operator::Union,
            Operator::Difference => selector::Operator::Difference,
            Operator::Intersection => selector::Operator::Intersection,
            Operator::Either => selector::Operator::Either,
        };
        Term { operator, holds, text }.emit(&mut writer).map_err(|_| "a name is too long")?;
    }
    let len = writer.written();
    image.truncate(len);
    Selector::parse(&image).map_err(|error| error.to_string())?;
    Ok(image)
}

fn group(name: &str) -> Result<(Holds, &str), String> {
    if let Some(domain) = name.strip_prefix("domain:") {
        return Ok((Holds::Domain, domain));
    }
    match name {
        "all" => Ok((Holds::All, "")),
        "drained" => Ok((Holds::Drained, "")),
        "subject" => Ok((Holds::Subject, "")),
        state if state_named(state).is_some() => Ok((Holds::State, state)),
        _ => {
            let error = NodeSetError { column: 1, reason: Reason::UnknownGroup(name.into()) };
            Err(format!("{error}, and here @drained and @subject"))
        }
    }
}

/// A selector as text.
pub(super) fn render(selector: Selector<'_>) -> String {
    let mut out = String::new();
    for (at, term) in selector.terms().enumerate() {
        if at > 0 {
            out.push(match term.operator {
                selector::Operator::Union => ',',
                selector::Operator::Difference => '!',
                selector::Operator::Intersection => '&',
                selector::Operator::Either => '^',
            });
        }
        match term.holds {
            Holds::Names => {}
            Holds::All => out.push_str("@all"),
            Holds::State => out.push('@'),
            Holds::Domain => out.push_str("@domain:"),
            Holds::Drained => out.push_str("@drained"),
            Holds::Subject => out.push_str("@subject"),
        }
        out.push_str(term.text);
    }
    out
}
