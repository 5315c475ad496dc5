//! An instance as it is typed: `api:prod` or `api --id prod`.

use clap::Args;
use ten_domain::{InstanceName, NameError};

use crate::failure::Failure;

#[derive(Debug, Clone, Args)]
pub(crate) struct InstanceArg {
    /// The instance, as service:id
    #[arg(value_name = "SERVICE:ID")]
    instance: String,
    /// The id, where it is not written after the service
    #[arg(long)]
    id: Option<String>,
}

impl InstanceArg {
    pub(crate) fn name(&self) -> Result<InstanceName, Failure> {
        name(&self.instance, self.id.as_deref())
    }
}

/// Puts the two spellings together.
pub(crate) fn name(instance: &str, id: Option<&str>) -> Result<InstanceName, Failure> {
    let typed = match id {
        None => instance.to_owned(),
        Some(id) if !instance.contains(':') => format!("{instance}:{id}"),
        Some(_) => {
            return Err(Failure::usage(format!("{instance} has an id already"))
                .fix("write either SERVICE:ID or SERVICE --id ID"));
        }
    };
    typed.parse().map_err(|rule: NameError| {
        Failure::usage(format!("{typed:?} is not an instance"))
            .why(format!("it {rule}"))
            .fix("write SERVICE:ID, such as api:prod")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_one_name() {
        let want: InstanceName = "api:prod".parse().unwrap();
        assert_eq!(name("api:prod", None), Ok(want.clone()));
        assert_eq!(name("api", Some("prod")), Ok(want));
    }

    #[test]
    fn others_are_misuse() {
        for (instance, id) in
            [("api", None), ("api:prod", Some("prod")), ("api", Some("..")), ("Api:prod", None)]
        {
            let failure = name(instance, id).unwrap_err();
            assert!(failure.is_usage(), "{instance} {id:?}: {failure:?}");
        }
    }
}
