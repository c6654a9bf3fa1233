//! The trigger socket of a service: the lines of version 1, and `rollback`.

mod request;

use tokio::sync::oneshot;

use super::door::{Answer, Asked, Door};
use super::orders::{HandoffOrder, Order, Verdict, Wanted};
use super::{Open, Served};
use request::Request;

/// The longest line, with its line break, in bytes.
pub(super) const LINE: usize = 4096;

/// Serves it until it is closed.
pub(super) fn open(door: Door, served: Served) -> Open {
    let (close, closed) = oneshot::channel();
    let task = tokio::spawn(door.serve(closed, move |asked| {
        let served = served.clone();
        async move { Answer::from(answer(served, asked).await) }
    }));
    (close, task)
}

async fn answer(served: Served, asked: Asked) -> String {
    let line = match asked.line {
        Ok(line) => line,
        Err(error) => return format!("err: {error}"),
    };
    let request = match Request::parse(&line) {
        Ok(request) => request,
        Err(error) => return format!("err: {error}"),
    };
    let (reply, told) = oneshot::channel();
    let order = match request {
        Request::Handoff(binary) => Order::Handoff(HandoffOrder {
            binary: binary.map_or(Wanted::Current, Wanted::Named),
            wait: false,
            start: false,
            reply,
        }),
        Request::Rollback => Order::Rollback(reply),
    };
    match served.ask(order, told).await {
        Ok(Verdict::Ended { line, .. }) => line,
        Ok(Verdict::Refused(why)) | Err(why) => format!("err: {why}"),
    }
}

impl Served {
    /// Gives an order and waits for the answer to it. Otherwise why there is none.
    pub(super) async fn ask<T>(
        &self,
        order: Order,
        told: oneshot::Receiver<T>,
    ) -> Result<T, String> {
        let gone = || String::from("the supervision of the service is ending");
        self.orders.send(order).await.map_err(|_| gone())?;
        told.await.map_err(|_| gone())
    }
}
