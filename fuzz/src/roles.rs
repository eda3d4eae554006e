//! Roles among authentic members who say anything.

use crate::script::Script;
use crate::stage::Stage;
use syncom_agent::{Agent, AgentConfig, ServiceConfig};
use syncom_seam::{Loaded, MS, SECOND};
use syncom_station::{RaftTiming, Station, StationConfig};
use syncom_transponder::{Transponder, TransponderConfig};
use syncom_wire::heartbeat::HomeAnswer;
use syncom_wire::join::Welcome;
use syncom_wire::member::{Member, MemberHead, MemberState, ViewDelta, ViewDeltaHead};
use syncom_wire::neighbours::{Neighbour, Neighbours, NeighboursHead};
use syncom_wire::roster::{Roster, RosterEntry, RosterHead};
use syncom_wire::{
    Addr, Boot, Emit, FrameHeader, Incarnation, List, PeerId, Slot, Term, Uuid, View, frame,
};

/// The slot of the agent under test.
const SLOT: Slot = Slot(7);
/// Lane between satellites and the station.
const LANE_FABRIC: u8 = 1;

/// The members on the stage, numbered as here; the role under test takes no part as another.
const CAST: [(PeerId, Addr); 8] = [
    (PeerId::station(1), addr(1)),
    (PeerId::satellite(1), addr(2)),
    (PeerId::satellite(2), addr(3)),
    (PeerId::agent(Slot(1)), addr(4)),
    (PeerId::agent(Slot(2)), addr(5)),
    (PeerId::agent(SLOT), addr(6)),
    (PeerId::client(99), addr(7)),
    (PeerId::station(2), addr(8)),
];
const STATION: usize = 0;
const SATELLITE: usize = 1;
const AGENT: usize = 5;

const fn addr(n: u8) -> Addr {
    Addr::v4([10, 0, 0, n], 4000)
}

fn others(me: usize) -> Vec<(PeerId, Addr)> {
    CAST.iter().enumerate().filter(|(at, _)| *at != me).map(|(_, one)| *one).collect()
}

pub(crate) fn bytes_of<E: Emit>(item: &E) -> Vec<u8> {
    let mut bytes = vec![0; item.size() + FrameHeader::SIZE];
    let len = frame::emit(item, &mut bytes).unwrap_or_else(|_| panic!("a frame that is too long"));
    bytes.truncate(len);
    bytes
}

/// An agent, at its door or, with an odd first byte, as a member with neighbours and a service.
pub fn agent(data: &[u8]) {
    let mut script = Script::new(data);
    let (uuid, boot) = (Uuid([5; 16]), Boot(77));
    let seeds = vec![CAST[SATELLITE].1, CAST[STATION].1];
    let mut config = AgentConfig::new(uuid, boot, "node7", CAST[AGENT].1, seeds, 1);
    config.services = vec![ServiceConfig { name: "web".into(), argv: vec!["web".into()] }];
    let mut stage = Stage::new(Agent::new(config), CAST[AGENT], &others(AGENT));
    if script.byte() & 1 == 1 {
        for frame in [roster(), welcome(uuid, boot), neighbours()] {
            stage.hear(SATELLITE, &frame);
        }
        assert!(stage.role.identity().is_some(), "the welcome was not understood");
    }
    stage.play(&mut script);
}

fn roster() -> Vec<u8> {
    let entries = [1_u16, 2].map(|n| RosterEntry {
        peer: PeerId::satellite(n),
        addr: addr(u8::try_from(n).unwrap_or(0) + 1),
        weight: 1,
        state: RosterEntry::SERVING,
        reserved: 0,
    });
    let head =
        RosterHead { epoch: 1, term: Term(1), total: 2, first: 0, leader: PeerId::station(1) };
    bytes_of(&Roster { head, entries: List::new(&entries) })
}

fn welcome(uuid: Uuid, boot: Boot) -> Vec<u8> {
    bytes_of(&Welcome {
        uuid,
        boot,
        slot: SLOT,
        incarnation: Incarnation(1),
        view: View(3),
        peer: PeerId::agent(SLOT),
        domain: 4,
        reserved: 0,
    })
}

fn neighbours() -> Vec<u8> {
    let list = [1_u8, 2].map(|n| Neighbour {
        slot: Slot(u32::from(n)),
        incarnation: Incarnation(1),
        addr: addr(n + 3),
        domain: u16::from(n),
    });
    let head = NeighboursHead { slot: SLOT, incarnation: Incarnation(1), epoch: 1 };
    bytes_of(&Neighbours { head, observers: List::new(&list), subjects: List::new(&list) })
}

/// A satellite, alone or, with an odd first byte, with a view of a few members.
pub fn transponder(data: &[u8]) {
    let mut script = Script::new(data);
    let replicas = vec![CAST[STATION], CAST[7]];
    let mut config = TransponderConfig::new(1, Boot(1), CAST[SATELLITE].1, replicas);
    // Small tables, so that a script can fill them.
    (config.evidence_max, config.combine_max, config.joins_max) = (4, 4, 4);
    let mut stage = Stage::new(Transponder::new(config), CAST[SATELLITE], &others(SATELLITE));
    if script.byte() & 1 == 1 {
        stage.hear(STATION, &leader());
        stage.tell(STATION, LANE_FABRIC, &view());
        stage.run(5 * SECOND);
        assert_eq!(stage.role.view(), View(1), "the view was not understood");
    }
    stage.play(&mut script);
}

/// By its answer to a heartbeat, a replica says that it leads.
fn leader() -> Vec<u8> {
    bytes_of(&HomeAnswer {
        echo_ns: 0,
        hold_us: 0,
        flags: 0,
        reserved: 0,
        roster: 1,
        view: View(1),
        neighbours: 0,
        term: Term(1),
        wall_ns: 0,
    })
}

/// All agents and satellites of the cast, as one view.
fn view() -> Vec<u8> {
    let cast = CAST.iter().filter(|(peer, _)| {
        matches!(peer.role(), syncom_wire::Role::Agent | syncom_wire::Role::Satellite)
    });
    let members: Vec<u8> = cast.flat_map(|(peer, addr)| member(*peer, *addr)).collect();
    let head = ViewDeltaHead {
        from: View(0),
        to: View(1),
        term: Term(1),
        roster: 1,
        leader: PeerId::station(1),
        more: 0,
        reserved: [0; 3],
    };
    bytes_of(&ViewDelta { head, members: &members })
}

fn member(peer: PeerId, addr: Addr) -> Vec<u8> {
    let number = peer.number().to_le_bytes()[0];
    let mut uuid = Uuid([peer.0.to_le_bytes()[3]; 16]);
    uuid.0[15] = number;
    let head = MemberHead {
        uuid,
        boot: Boot(1),
        peer,
        incarnation: Incarnation(1),
        view: View(1),
        since_ns: 0,
        addr,
        domain: u16::from(number),
        pid: 0,
        state: MemberState::Alive as u8,
        reserved: 0,
        weight: 1,
        join_index: 0,
    };
    bytes_of(&Member { head, name: &format!("m{}", peer.0), domain: "" })
}

/// The only replica of a station, before or, with an odd first byte, after it leads.
pub fn station(data: &[u8]) {
    let mut script = Script::new(data);
    let mut stage = Stage::new(replica(1, Loaded::default()), CAST[STATION], &others(STATION));
    if script.byte() & 1 == 1 {
        stage.run(2 * SECOND);
        assert!(stage.role.is_leader(), "a replica that is alone does not lead");
    }
    stage.play(&mut script);
    let _ = stage.role.state_hash();
}

/// Replica 1 of `count`, with a slow clock and frequent snapshots.
pub(crate) fn replica(count: u16, loaded: Loaded) -> Station {
    Station::new(replica_config(count), loaded).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn replica_config(count: u16) -> StationConfig {
    let addr_of = |n: u16| addr(200 + u8::try_from(n).unwrap_or(0));
    let mut replicas: Vec<_> = (1..=count).map(|n| (PeerId::station(n), addr_of(n))).collect();
    replicas[0].1 = CAST[STATION].1;
    let mut config = StationConfig::new(1, replicas);
    config.timing = RaftTiming { tick_ns: 50 * MS, heartbeat_ticks: 1, election_ticks: 4 };
    config.snapshot_every = 8;
    config
}
