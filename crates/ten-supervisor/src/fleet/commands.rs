//! The way into an instance for an operator's command.

use std::sync::Arc;

use ten_domain::InstanceName;
use tokio::sync::oneshot;

use super::Fleet;
use crate::{
    Denied, Inside,
    commands::Entered,
    driver::{Command, Verb},
};

impl Fleet {
    /// The inside of an instance that is known. One that does not run is spawned; one that is
    /// being started is entered as soon as its process is there, ready or not. It stays awake
    /// for as long as the inside is held; it is stopped all the same where it must be.
    pub async fn enter(&self, name: &InstanceName) -> Result<Inside, Denied> {
        let entered = match self.try_enter(name).await? {
            Some(entered) => entered,
            None => {
                self.operate(name.clone(), Verb::Enter, true).await?;
                let entered = self.try_enter(name).await?;
                entered.ok_or_else(|| Denied::Superseded(name.clone()))?
            }
        };
        Ok(Inside::new(name.clone(), entered, Arc::clone(&self.keeper)))
    }

    async fn try_enter(&self, name: &InstanceName) -> Result<Option<Entered>, Denied> {
        let (reply, entered) = oneshot::channel();
        let command = Command::Enter { name: name.clone(), reply };
        self.mailbox.send(command).await.map_err(|_| Denied::ShuttingDown)?;
        entered.await.map_err(|_| Denied::ShuttingDown)
    }
}
