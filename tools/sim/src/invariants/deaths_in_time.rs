//! Deaths in time: where a scenario promises it, the death of a member is announced within a bound,
//! however young the member, its observers and the view are; and settled members that died at one
//! moment leave in a few views.

use crate::world::World;
use std::collections::BTreeSet;
use syncom_seam::{MS, SECOND};

/// After so long all observers of a member have heard it, in ns.
const SETTLED_NS: u64 = 2 * SECOND;

pub(super) fn check(world: &World, violations: &mut Vec<String>) {
    let Some(notice_ns) = world.scenario.notice_ns else { return };
    let mut views = BTreeSet::new();
    for (name, crash) in &world.watch.crashed {
        let Some((announced, view)) = crash.announced else {
            violations.push(format!("{name} died at {}, which was never announced", crash.at));
            continue;
        };
        let took_ns = announced.since(crash.at);
        if took_ns > notice_ns {
            let took_ms = took_ns / MS;
            violations.push(format!("{name} died at {}, announced {took_ms} ms later", crash.at));
        }
        if crash.age_ns >= SETTLED_NS {
            views.insert(view);
        }
    }
    if views.len() > world.scenario.views_max {
        violations.push(format!("deaths of one moment were announced in views {views:?}"));
    }
}
