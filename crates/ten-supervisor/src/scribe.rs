//! Writes down what must outlive a restart, in the order in which it happened.
//!
//! Serving never waits for the disk: the driver hands facts over and goes on. An operator's
//! command waits, so that "done" means "stored". What cannot be written is kept and tried
//! again, and until then every command on that instance says so.

use std::{collections::BTreeMap, time::Duration};

use ten_domain::{InstanceName, Weight};
use ten_store::{Origin, Store, StoreError};
use tokio::{
    sync::{mpsc, oneshot},
    time::MissedTickBehavior,
};

use crate::Denied;

/// Time between attempts to write what could not be written.
const RETRY: Duration = Duration::from_secs(5);

/// Something worth remembering about an instance. The newest one counts.
#[derive(Debug, Clone)]
pub(crate) enum Fact {
    Known { weight: Weight, origin: Origin },
    Forgotten,
}

#[derive(Debug)]
enum Note {
    Fact(InstanceName, Fact),
    Settled(InstanceName, oneshot::Sender<Result<(), Denied>>),
    AllSettled(oneshot::Sender<()>),
}

/// The way to the one task that writes.
#[derive(Debug, Clone)]
pub(crate) struct Scribe {
    store: Store,
    notes: mpsc::UnboundedSender<Note>,
}

impl Scribe {
    /// Starts the task. It ends when the last handle is gone and everything is written.
    pub(crate) fn start(store: Store) -> Self {
        let (sender, notes) = mpsc::unbounded_channel();
        tokio::spawn(write_down(store.clone(), notes));
        Self { store, notes: sender }
    }

    /// Whether there is room to write something down: asked before it is done.
    pub(crate) fn check_room(&self) -> Result<(), Denied> {
        self.store.check_room().map_err(|full| Denied::NoRoom(full.to_string()))
    }

    /// Hands a fact over.
    pub(crate) fn write(&self, name: &InstanceName, fact: Fact) {
        // The task outlives every handle, so somebody listens.
        let _ = self.notes.send(Note::Fact(name.clone(), fact));
    }

    /// Waits until everything that was handed over is written, and says what is not of this
    /// instance.
    pub(crate) async fn settled(&self, name: &InstanceName) -> Result<(), Denied> {
        let (reply, settled) = oneshot::channel();
        let _ = self.notes.send(Note::Settled(name.clone(), reply));
        settled.await.unwrap_or(Err(Denied::ShuttingDown))
    }

    /// Waits until everything that was handed over is written, or was tried once more in vain.
    pub(crate) async fn all_settled(&self) {
        let (reply, settled) = oneshot::channel();
        let _ = self.notes.send(Note::AllSettled(reply));
        let _ = settled.await;
    }
}

type Owed = BTreeMap<InstanceName, (Fact, StoreError)>;

async fn write_down(store: Store, mut notes: mpsc::UnboundedReceiver<Note>) {
    // What could not be written, with the reason.
    let mut owed = Owed::new();
    let mut retries = tokio::time::interval(RETRY);
    retries.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let note = tokio::select! {
            note = notes.recv() => note,
            _ = retries.tick(), if !owed.is_empty() => {
                retry(&store, &mut owed).await;
                continue;
            }
        };
        match note {
            Some(Note::Fact(name, fact)) => {
                owed.remove(&name);
                if let Err(error) = write(&store, &name, &fact).await {
                    tracing::error!(instance = %name, "not stored, will try again: {error}");
                    // Not at once: whoever waits for this fact hears of it first.
                    if owed.is_empty() {
                        retries.reset();
                    }
                    owed.insert(name, (fact, error));
                }
            }
            Some(Note::Settled(name, reply)) => {
                let result = owed.get(&name).map_or(Ok(()), |(_, why)| Err(not_stored(why)));
                // Whoever asked may have stopped waiting.
                let _ = reply.send(result);
            }
            Some(Note::AllSettled(reply)) => {
                retry(&store, &mut owed).await;
                let _ = reply.send(());
            }
            None => return retry(&store, &mut owed).await,
        }
    }
}

/// Says nothing of what still fails: that was said the first time.
async fn retry(store: &Store, owed: &mut Owed) {
    for (name, (fact, _)) in std::mem::take(owed) {
        match write(store, &name, &fact).await {
            Ok(()) => tracing::info!(instance = %name, "stored at last"),
            Err(error) => drop(owed.insert(name, (fact, error))),
        }
    }
}

async fn write(store: &Store, name: &InstanceName, fact: &Fact) -> Result<(), StoreError> {
    match fact {
        Fact::Known { weight, origin } => {
            store.remember(name.clone(), *weight, *origin).await?;
        }
        Fact::Forgotten => {
            store.forget(name.clone()).await?;
        }
    }
    Ok(())
}

fn not_stored(why: &StoreError) -> Denied {
    Denied::NotStored { reason: why.to_string(), full: matches!(why, StoreError::Full { .. }) }
}
