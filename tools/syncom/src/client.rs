//! Asks the station, or an agent, over sealed datagrams; follows the leader; never gives up early.
//!
//! What it is told is current unless it was opened to be content with less: then it asks the replica
//! at hand and says how old the answer is.

use crate::exit::Failure;
use crate::place::Place;
use crate::show;
use std::net::SocketAddr;
use std::time::Duration;
use syncom_engine::{Endpoint, EndpointError, clock};
use syncom_seam::Now;
use syncom_wire::control::{Ask, AskHead, Line, Reply, ReplyHead, Verb};
use syncom_wire::{Addr, Emit, Frame, FrameHeader, Frames, ids};

/// How long one question waits for its answer before it is asked elsewhere.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long a question is asked at all: an election and some.
const GIVE_UP: Duration = Duration::from_secs(5);
/// Pages of one listing: more than the largest cluster has.
const PAGES_MAX: usize = 1_000_000;

/// An answer, owned.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The fixed part.
    pub head: ReplyHead,
    body: Vec<u8>,
}

impl Answer {
    /// The frames of its body.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        Frames::new(&self.body).flatten()
    }

    /// What it says in words, if anything.
    fn words(&self) -> String {
        self.frames()
            .find_map(|frame| match frame {
                Frame::Line(Line { text }) => Some(text.to_owned()),
                _ => None,
            })
            .unwrap_or_default()
    }
}

/// Which state a stale answer showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Raft index of the state.
    pub index: u64,
    /// Nothing that was committed in the last so many ms is in it.
    pub age_ms: u32,
}

/// One question and its answer, or nothing in time.
///
/// # Errors
/// When the socket breaks.
pub fn exchange(
    endpoint: &mut Endpoint,
    to: Addr,
    ask: &Ask<'_>,
    patience: Duration,
) -> Result<Option<Answer>, Failure> {
    endpoint.send(to, ask).map_err(broken)?;
    endpoint.flush().map_err(broken)?;
    let until = endpoint.deadline(patience);
    while let Some(mut received) = endpoint.recv(until).map_err(broken)? {
        let answer = received.find_map(|frame| match frame {
            Frame::Reply(reply) if reply.head.request == ask.head.request => {
                Some(Answer { head: reply.head, body: reply.body.to_vec() })
            }
            _ => None,
        });
        if answer.is_some() {
            return Ok(answer);
        }
    }
    Ok(None)
}

/// Opens a socket of a cluster; loopback only where all replicas are there.
///
/// # Errors
/// When no socket can be opened.
pub fn open_endpoint(place: &Place) -> Result<Endpoint, Failure> {
    let local = place.replicas.iter().all(|addr| addr.ip().is_loopback());
    let bind = if local { [127, 0, 0, 1] } else { [0, 0, 0, 0] };
    let mut builder = Endpoint::builder(&place.secret.cluster, &place.secret.bytes)
        .bind(SocketAddr::from((bind, 0)));
    if !place.seal {
        builder = builder.seal_off();
    }
    builder.open().map_err(|error| Failure::failed(format!("cannot open a socket: {error}")))
}

/// A socket does no longer what it should.
pub fn broken(error: EndpointError) -> Failure {
    Failure::failed(format!("the socket failed: {error}"))
}

/// Talks to one cluster.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    replicas: Vec<Addr>,
    /// Index of the replica that answered last, or that leads.
    favourite: usize,
    next_request: u64,
    give_up: Duration,
    patience: Duration,
    /// Content with the state of the replica at hand.
    stale: bool,
    shown: Option<Shown>,
}

impl Client {
    /// Opens a client of the cluster at `place`.
    ///
    /// # Errors
    /// When no socket can be opened.
    pub fn open(place: Place) -> Result<Self, Failure> {
        let endpoint = open_endpoint(&place)?;
        let next_request = ids::mix(clock::read().wall.0 ^ u64::from(std::process::id()));
        let replicas = place.replicas.into_iter().map(Addr::from).collect();
        let (stale, shown) = (false, None);
        let (give_up, patience) = (GIVE_UP, PATIENCE);
        Ok(Self { endpoint, replicas, favourite: 0, next_request, give_up, patience, stale, shown })
    }

    /// Opens a client for reading, which `stale` makes content with what the replica at hand has.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_for(place: Place, stale: bool) -> Result<Self, Failure> {
        Self::open(place).map(|client| Self { stale, ..client })
    }

    /// Which state the first stale answer showed; `None` when answers are current.
    #[must_use]
    pub const fn shown(&self) -> Option<Shown> {
        self.shown
    }

    /// How fresh an answer must be. Some facts are not in the log: the leader alone has them.
    const fn freshness(&self, verb: Verb) -> u8 {
        match verb {
            Verb::Submit | Verb::SetPolicy | Verb::Drain | Verb::Replace | Verb::Cancel => {
                Ask::LEADER
            }
            _ if self.stale => Ask::STALE,
            Verb::Status | Verb::Nodes | Verb::OrderState => Ask::LEADER,
            Verb::Events | Verb::Explain | Verb::Decisions | Verb::Graph | Verb::Policy => {
                Ask::CURRENT
            }
            Verb::Report | Verb::Watched | Verb::Judged => Ask::STALE,
        }
    }

    /// Keeps, and says, how old the first stale answer was.
    fn note_age(&mut self, head: &ReplyHead) {
        if self.stale && self.shown.is_none() {
            let Shown { index, age_ms } =
                *self.shown.insert(Shown { index: head.index, age_ms: head.age_ms });
            show::tell(&format!(
                "not current: state {index} of the replica at hand, which last heard the others \
                 {age_ms} ms ago"
            ));
        }
    }

    /// Asks each question at most this long, where waiting for an election would hold up more.
    pub const fn hurry(&mut self, give_up: Duration) {
        self.give_up = give_up;
    }

    /// Waits at most this long for each answer before it asks again, where that is to be known soon.
    pub const fn ask_again_after(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Now {
        clock::read()
    }

    /// Lets time pass, hearing nothing.
    pub fn wait(&mut self, pause: Duration) {
        let until = self.endpoint.deadline(pause);
        while let Ok(Some(_)) = self.endpoint.recv(until) {}
    }

    /// Asks the station.
    ///
    /// # Errors
    /// Code 3 when nobody answers or nobody leads; code 1 with the station's words when refused.
    pub fn ask(&mut self, verb: Verb, cursor: u64, argument: &[u8]) -> Result<Answer, Failure> {
        let request = self.request();
        let give_up = self.endpoint.deadline(self.give_up);
        let mut heard = None;
        while clock::now() < give_up {
            let to = self.replicas[self.favourite % self.replicas.len()];
            let freshness = self.freshness(verb);
            let head = AskHead { request, verb: verb as u16, freshness, reserved: [0; 5], cursor };
            let Some(answer) = self.exchange(to, &Ask { head, argument }, self.patience)? else {
                self.favourite += 1;
                continue;
            };
            match answer.head.status {
                Reply::NOT_LEADER => self.follow(&answer.head),
                Reply::BUSY => {
                    let pause = u64::from(answer.head.retry_ms.clamp(10, 500));
                    self.wait(Duration::from_millis(pause));
                }
                Reply::PENDING if verb == Verb::Submit => {
                    self.wait(Duration::from_millis(5));
                }
                Reply::REFUSED => {
                    return Err(Failure::failed(format!("refused: {}", answer.words())));
                }
                _ => {
                    self.note_age(&answer.head);
                    return Ok(answer);
                }
            }
            heard = Some(answer.head.status);
        }
        Err(self.nobody(heard))
    }

    /// Asks for a listing, page by page.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn pages(
        &mut self,
        verb: Verb,
        mut cursor: u64,
        argument: &[u8],
        mut see: impl FnMut(Frame<'_>),
    ) -> Result<(), Failure> {
        for _ in 0..PAGES_MAX {
            let answer = self.ask(verb, cursor, argument)?;
            if answer.head.status == Reply::NOT_FOUND {
                return Ok(());
            }
            answer.frames().for_each(&mut see);
            if answer.head.more == 0 || answer.head.next <= cursor && verb != Verb::OrderState {
                return Ok(());
            }
            cursor = answer.head.next;
        }
        Ok(())
    }

    /// Asks agents on this machine, one after the other, and goes on asking until the answer is
    /// final or, unless `until_done`, until it is taken.
    ///
    /// # Errors
    /// Code 3 when no agent answers in time; code 1 when it refuses.
    pub fn ask_agent(
        &mut self,
        agents: &[SocketAddr],
        verb: Verb,
        argument: &[u8],
        patience: Duration,
        until_done: bool,
    ) -> Result<Answer, Failure> {
        let request = self.request();
        let give_up = self.endpoint.deadline(patience);
        let freshness = Ask::STALE;
        let head = AskHead { request, verb: verb as u16, freshness, reserved: [0; 5], cursor: 0 };
        let mut last = None;
        let mut chosen = 0;
        while clock::now() < give_up {
            let to = Addr::from(agents[chosen % agents.len()]);
            match self.exchange(to, &Ask { head, argument }, PATIENCE)? {
                // Another agent would number the report anew, so one that took it keeps it.
                None if last.is_none() => chosen += 1,
                None => {}
                Some(answer) if answer.head.status == Reply::REFUSED => {
                    return Err(Failure::failed(format!("refused: {}", answer.words())));
                }
                Some(answer) if answer.head.status == Reply::PENDING => {
                    if !until_done {
                        return Ok(answer);
                    }
                    last = Some(answer);
                    self.wait(Duration::from_millis(2));
                }
                Some(answer) if answer.head.status == Reply::BUSY => {
                    self.wait(Duration::from_millis(100));
                }
                Some(answer) => return Ok(answer),
            }
        }
        Err(Failure::unreachable(if last.is_some() {
            "the agent keeps the report but it is not committed yet; is there a quorum? \
             (see `syncom status`)"
        } else {
            "no local agent answers; is its node a member? (see `syncom nodes`)"
        }))
    }

    /// Asks several agents the same, all at once, and waits as long as for one: an answer in the place
    /// of each that gave one.
    ///
    /// # Errors
    /// When the socket breaks.
    pub fn ask_each(
        &mut self,
        members: &[Addr],
        (verb, cursor): (Verb, u64),
    ) -> Result<Vec<Option<Answer>>, Failure> {
        let mut asked = Vec::with_capacity(members.len());
        for to in members {
            let (request, freshness) = (self.request(), self.freshness(verb));
            let head = AskHead { request, verb: verb as u16, freshness, reserved: [0; 5], cursor };
            self.endpoint.send(*to, &Ask { head, argument: &[] }).map_err(broken)?;
            asked.push(request);
        }
        self.endpoint.flush().map_err(broken)?;
        let until = self.endpoint.deadline(self.patience);
        let mut answers = vec![None; members.len()];
        while answers.iter().any(Option::is_none) {
            let Some(received) = self.endpoint.recv(until).map_err(broken)? else { break };
            for frame in received {
                let Frame::Reply(reply) = frame else { continue };
                let at = asked.iter().position(|request| *request == reply.head.request);
                if let Some(answer) = at.and_then(|at| answers.get_mut(at)) {
                    *answer = Some(Answer { head: reply.head, body: reply.body.to_vec() });
                }
            }
        }
        Ok(answers)
    }

    fn request(&mut self) -> u64 {
        self.next_request = self.next_request.wrapping_add(1);
        self.next_request
    }

    /// One question and its answer, or nothing in time.
    fn exchange(
        &mut self,
        to: Addr,
        ask: &Ask<'_>,
        patience: Duration,
    ) -> Result<Option<Answer>, Failure> {
        exchange(&mut self.endpoint, to, ask, patience)
    }

    /// Turns to the replica that leads, or to the next one.
    fn follow(&mut self, head: &ReplyHead) {
        let leader = self.replicas.iter().position(|addr| *addr == head.leader_addr);
        match leader {
            Some(index) => self.favourite = index,
            None if head.leader_addr.is_some() => {
                self.replicas.push(head.leader_addr);
                self.favourite = self.replicas.len() - 1;
            }
            None => {
                self.favourite += 1;
                self.wait(Duration::from_millis(50));
            }
        }
    }

    fn nobody(&self, heard: Option<u8>) -> Failure {
        let replicas: Vec<String> = self.replicas.iter().map(Addr::to_string).collect();
        Failure::unreachable(match heard {
            Some(Reply::NOT_LEADER | Reply::BUSY) => {
                "the station has no leader: too few replicas run or reach each other".to_owned()
            }
            _ => format!(
                "no replica answers at {}; is the cluster up, and is this its secret?",
                replicas.join(", ")
            ),
        })
    }
}

/// The bytes of a frame, header included.
///
/// # Errors
/// When a part of it exceeds its bound.
pub fn pack<E: Emit>(frame: &E) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![0; frame.size() + FrameHeader::SIZE];
    let len = syncom_wire::frame::emit(frame, &mut bytes)
        .map_err(|_| Failure::usage("a part of the request is too long"))?;
    bytes.truncate(len);
    Ok(bytes)
}
