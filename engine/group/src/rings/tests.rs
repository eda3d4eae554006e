use super::*;
use std::println;
use syncom_seam::Rng;

fn uuid(rng: &mut Rng) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&rng.next_u64().to_le_bytes());
    bytes[8..].copy_from_slice(&rng.next_u64().to_le_bytes());
    Uuid(bytes)
}

#[test]
fn measure() {
    for (name, f) in [
        ("none", &(|_, _: &mut Rng| 0_u16) as &dyn Fn(u32, &mut Rng) -> u16),
        ("one", &|_, _| 1),
        ("two", &|_, r| 1 + r.below(2) as u16),
        ("two 1:9", &|_, r| if r.chance(1, 10) { 1 } else { 2 }),
        ("two 1:99", &|_, r| if r.chance(1, 100) { 1 } else { 2 }),
        ("four", &|_, r| 1 + r.below(4) as u16),
        ("60/20/10/10", &|_, r| match r.below(10) {
            0 => 1,
            1 => 2,
            2 | 3 => 3,
            _ => 4,
        }),
        ("ten", &|_, r| 1 + r.below(10) as u16),
        ("forty", &|_, r| 1 + r.below(40) as u16),
    ] {
        for n in [9, 10, 12, 16, 20, 24, 32, 48, 64, 128, 256, 1000] {
            let (mut max, mut over, mut narrow, mut fair, mut total) = (0, 0, 0, 0, 0);
            let mut hist = [0; 64];
            let rounds = 4000 / n + 1;
            for seed in 0..rounds {
                let mut rng = Rng::new(u64::from(seed));
                let mut rings = Rings::new();
                for s in 0..n {
                    let d = f(s, &mut rng);
                    rings.insert(Slot(s), uuid(&mut rng), d);
                }
                rings.settle(&mut SlotSet::new());
                for s in (0..n).map(Slot) {
                    let l = rings.subjects(s).len();
                    hist[l] += 1;
                    max = max.max(l);
                    over += usize::from(l > 16);
                    let dom = |s: Slot| rings.node(s).unwrap().domain;
                    let own = rings.observers(s).iter().filter(|o| dom(**o) == dom(s)).count();
                    let most = rings
                        .observers(s)
                        .iter()
                        .map(|o| rings.observers(s).iter().filter(|p| dom(**p) == dom(*o)).count())
                        .max()
                        .unwrap();
                    total += 1;
                    narrow += usize::from(own > 4);
                    fair += usize::from(most > 2);
                }
            }
            println!(
                "{name:12} {n:5} max {max} over16 {over} of {total}; own>half {:.3} domain>quarter {:.3}",
                f64::from(narrow as u32) / f64::from(total as u32),
                f64::from(fair as u32) / f64::from(total as u32)
            );
        }
    }
}
