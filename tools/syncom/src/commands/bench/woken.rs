//! What a leader that was stopped does when it wakes.
//!
//! While it is stopped another leads and writes are acknowledged. Then reads and an order are laid
//! into its socket: they are the first thing that it hears, before anything tells it that it leads no
//! more. It may refuse them, or send us elsewhere. It may not show a state older than one that was
//! acknowledged before we asked, nor take an order that its successor does not know.

use super::campaign::order_to_nobody;
use crate::client::{Client, broken, open_endpoint};
use crate::exit::Failure;
use crate::place::Place;
use std::net::SocketAddr;
use std::time::Duration;
use syncom_engine::Endpoint;
use syncom_station::order_id;
use syncom_wire::Frame;
use syncom_wire::control::{Ask, AskHead, Reply, ReplyHead, Verb};

/// Reads laid into its socket.
const READS: u64 = 8;
/// How long after it woke an answer may still come, the time since then not counted.
const PATIENCE: Duration = Duration::from_millis(200);

/// Asks stopped leaders, and counts what they answer.
#[derive(Debug)]
pub(super) struct Woken {
    endpoint: Endpoint,
    client: Client,
    /// Number of the last question.
    request: u64,
    /// Index of a state that was acknowledged before the last questions.
    acknowledged: u64,
    /// Answers of leaders that had been stopped, refusals among them.
    pub(super) answers: u64,
    /// Answers that were older than what had been acknowledged.
    pub(super) stale: u64,
    /// Orders that it said were given, and that its successor does not know.
    pub(super) empty: u64,
}

impl Woken {
    /// Nobody has been asked yet.
    pub(super) fn open(place: Place) -> Result<Self, Failure> {
        let endpoint = open_endpoint(&place)?;
        let client = Client::open(place)?;
        let (answers, stale, empty) = (0, 0, 0);
        Ok(Self { endpoint, client, request: 0, acknowledged: 0, answers, stale, empty })
    }

    /// Asks the one that is stopped, and leads in its own eyes.
    pub(super) fn ask(&mut self, stopped: SocketAddr) -> Result<(), Failure> {
        self.acknowledged = self.client.ask(Verb::Policy, 0, &[])?.head.index;
        let order = order_to_nobody()?;
        for number in 0..=READS {
            self.request += 1;
            let is_order = number == READS;
            let (verb, freshness, argument) = if is_order {
                (Verb::Submit, Ask::LEADER, &order[..])
            } else {
                (Verb::Policy, if number % 2 == 0 { Ask::CURRENT } else { Ask::LEADER }, &[][..])
            };
            let head = AskHead {
                request: self.request,
                verb: verb as u16,
                freshness,
                reserved: [0; 5],
                cursor: 0,
            };
            self.endpoint.send(stopped.into(), &Ask { head, argument }).map_err(broken)?;
        }
        self.endpoint.flush().map_err(broken)
    }

    /// Takes in what it answered when it woke.
    pub(super) fn judge(&mut self) -> Result<(), Failure> {
        let (order, first) = (self.request, self.request - READS);
        let until = self.endpoint.deadline(PATIENCE);
        let mut heard: Vec<ReplyHead> = Vec::new();
        while let Some(mut received) = self.endpoint.recv(until).map_err(broken)? {
            // A datagram may hold several answers.
            received.find_map(|frame| {
                if let Frame::Reply(reply) = frame
                    && reply.head.request >= first
                {
                    heard.push(reply.head);
                }
                None::<()>
            });
        }
        for head in heard {
            self.answers += 1;
            if head.status == Reply::DONE {
                self.stale += u64::from(head.index < self.acknowledged);
                if head.request == order {
                    self.empty += u64::from(!self.is_known(order)?);
                }
            }
        }
        Ok(())
    }

    /// Whether who leads now knows our order.
    fn is_known(&mut self, request: u64) -> Result<bool, Failure> {
        let id = order_id(self.endpoint.peer(), self.endpoint.boot(), request);
        Ok(self.client.ask(Verb::OrderState, id.0, &[])?.head.status != Reply::NOT_FOUND)
    }
}
