//! Data of instances: where a stop left them, and what can be brought back.

use jiff::{Timestamp, tz::TimeZone};
use ten_api::{Ended, Trashed};

use super::table::{self, Align, Cell};

/// After a stop or a removal of one instance: where its data are now.
pub(crate) fn ended(ended: &Ended, zone: &TimeZone) -> Option<String> {
    ended.trashed.as_ref().map(|data| trashed(data, "its data", zone))
}

/// Where data went, how long they stay, and how to get them back.
pub(crate) fn trashed(data: &Trashed, what: &str, zone: &TimeZone) -> String {
    let (instance, until) = (&data.instance, moment(&data.until, zone));
    format!("{what} moved to the trash until {until}; `ten restore {instance}` brings them back")
}

/// After a stop of many.
pub(crate) fn all_ended<'a>(
    ended: impl Iterator<Item = &'a Ended>,
    zone: &TimeZone,
) -> Option<String> {
    let trashed: Vec<_> = ended.filter_map(|ended| ended.trashed.as_ref()).collect();
    let first = trashed.iter().map(|data| &data.until).min()?;
    Some(format!(
        "the data of {} moved to the trash until {}; `ten restore --list` shows them",
        trashed.len(),
        moment(first, zone)
    ))
}

/// What can be brought back; a sentence where there is nothing.
pub(crate) fn list(trash: &[Trashed], zone: &TimeZone, width: Option<usize>) -> String {
    if trash.is_empty() {
        return "nothing is in the trash\n".to_owned();
    }
    use Align::Left;
    let heading =
        [("ENTRY", Left), ("GIVEN UP", Left), ("UNTIL", Left), ("BY", Left), ("FOLDERS", Left)];
    let rows: Vec<_> = trash
        .iter()
        .map(|data| {
            [
                Cell::new(&data.entry),
                Cell::new(moment(&data.at, zone)),
                Cell::new(moment(&data.until, zone)),
                Cell::new(&data.reason),
                Cell::new(data.folders.join(" ")),
            ]
        })
        .collect();
    table::render(heading, &rows, width)
}

/// To the second, in a zone. What a later server says in another form is shown as it is.
pub(crate) fn moment(text: &str, zone: &TimeZone) -> String {
    match text.parse::<Timestamp>() {
        Ok(at) => at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => text.to_owned(),
    }
}
