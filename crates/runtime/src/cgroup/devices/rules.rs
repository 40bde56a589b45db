//! The specification's list of device rules, reduced to a default and exceptions from it.

use std::fmt;

use oci::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use crate::cgroup::CgroupError;

bitflags::bitflags! {
    /// What is done with a device, by the numbers of `BPF_DEVCG_ACC_*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Access: u32 {
        const MKNOD = 1;
        const READ = 2;
        const WRITE = 4;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Block,
    Character,
}

/// A set of devices by their numbers; `None` is every number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Devices {
    pub(super) kind: Kind,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
}

/// What is different from the default for some devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exception {
    pub(super) devices: Devices,
    pub(super) access: Access,
}

/// A default and exceptions that say the opposite.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RuleSet {
    pub(super) default_allow: bool,
    pub(super) exceptions: Vec<Exception>,
}

/// A rule as written: for which kinds, and what.
struct Rule {
    allow: bool,
    kinds: &'static [Kind],
    major: Option<u32>,
    minor: Option<u32>,
    access: Access,
}

impl RuleSet {
    /// The rules of a container: denied but for `rules`, and the devices and the making of nodes that every container has
    /// (`CAP_MKNOD` decides about the latter).
    ///
    /// # Errors
    /// A rule that cannot be read, or that takes back a part of an earlier one in a way no list of exceptions can express.
    pub(super) fn of_container(rules: &[LinuxDeviceCgroup]) -> Result<Self, CgroupError> {
        let mut set = Self::default();
        for rule in rules {
            set.apply(&Rule::parse(rule)?)?;
        }
        if !set.default_allow {
            set.add_promised();
        }
        Ok(set)
    }

    /// Reads the kernel's `devices.list`.
    pub(super) fn parse_list(text: &str) -> Result<Self, CgroupError> {
        let mut set = Self::default();
        for line in text.lines() {
            let rule = Rule::parse_line(line).ok_or_else(|| invalid(format!("the kernel lists {line:?}")))?;
            set.apply(&rule)?;
        }
        Ok(set)
    }

    pub(super) fn allows_everything(&self) -> bool {
        self.default_allow && self.exceptions.is_empty()
    }

    /// What of a current exception the target does not have.
    pub(super) fn surplus(&self, current: &Exception) -> Option<Exception> {
        let kept = self.exceptions.iter().find(|exception| exception.devices == current.devices);
        let access = current.access.difference(kept.map_or(Access::empty(), |exception| exception.access));
        (!access.is_empty()).then_some(Exception { access, ..*current })
    }

    fn add_promised(&mut self) {
        for kind in [Kind::Character, Kind::Block] {
            self.add(Exception {
                devices: Devices { kind, major: None, minor: None },
                access: Access::MKNOD,
            });
        }
        for (major, minor) in oci::defaults::USABLE_DEVICES {
            let devices = Devices { kind: Kind::Character, major: Some(major), minor };
            self.add(Exception { devices, access: Access::all() });
        }
    }

    fn apply(&mut self, rule: &Rule) -> Result<(), CgroupError> {
        if rule.is_about_everything() {
            *self = Self { default_allow: rule.allow, exceptions: Vec::new() };
            return Ok(());
        }
        for kind in rule.kinds {
            let devices = Devices { kind: *kind, major: rule.major, minor: rule.minor };
            let exception = Exception { devices, access: rule.access };
            if rule.allow == self.default_allow {
                self.take_back(exception)?;
            } else {
                self.add(exception);
            }
        }
        Ok(())
    }

    fn add(&mut self, exception: Exception) {
        match self.exceptions.iter_mut().find(|known| known.devices == exception.devices) {
            Some(known) => known.access |= exception.access,
            None => self.exceptions.push(exception),
        }
    }

    fn take_back(&mut self, rule: Exception) -> Result<(), CgroupError> {
        for known in &mut self.exceptions {
            if !known.access.intersects(rule.access) || !known.devices.overlaps(&rule.devices) {
                continue;
            }
            if !rule.devices.covers(&known.devices) {
                return Err(invalid(format!(
                    "the rule {rule} takes back a part of the earlier rule {known}"
                )));
            }
            known.access = known.access.difference(rule.access);
        }
        self.exceptions.retain(|exception| !exception.access.is_empty());
        Ok(())
    }
}

impl Devices {
    fn covers(&self, other: &Self) -> bool {
        let wider = |mine: Option<u32>, theirs: Option<u32>| mine.is_none() || mine == theirs;
        self.kind == other.kind && wider(self.major, other.major) && wider(self.minor, other.minor)
    }

    fn overlaps(&self, other: &Self) -> bool {
        let meets =
            |mine: Option<u32>, theirs: Option<u32>| mine.is_none() || theirs.is_none() || mine == theirs;
        self.kind == other.kind && meets(self.major, other.major) && meets(self.minor, other.minor)
    }
}

/// As the kernel reads and writes it: `c 136:* rwm`.
impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
        let kind = match self.devices.kind {
            Kind::Block => 'b',
            Kind::Character => 'c',
        };
        write!(f, "{kind} {}:{} ", number(self.devices.major), number(self.devices.minor))?;
        for (flag, letter) in [(Access::READ, 'r'), (Access::WRITE, 'w'), (Access::MKNOD, 'm')] {
            if self.access.contains(flag) {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

impl Rule {
    fn parse(rule: &LinuxDeviceCgroup) -> Result<Self, CgroupError> {
        let kinds = match rule.typ() {
            None | Some(LinuxDeviceType::A) => BOTH,
            Some(LinuxDeviceType::B) => &[Kind::Block],
            Some(LinuxDeviceType::C | LinuxDeviceType::U) => &[Kind::Character],
            Some(LinuxDeviceType::P) => {
                return Err(invalid("a FIFO is not subject to device rules".to_owned()));
            }
        };
        let access = rule.access().as_deref().filter(|access| !access.is_empty()).unwrap_or("rwm");
        Ok(Self {
            allow: rule.allow(),
            kinds,
            major: number(rule.major())?,
            minor: number(rule.minor())?,
            access: parse_access(access)
                .ok_or_else(|| invalid(format!("access {access:?} is not of r, w, m")))?,
        })
    }

    fn parse_line(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let kinds = match words.next()? {
            "a" => BOTH,
            "b" => &[Kind::Block],
            "c" => &[Kind::Character],
            _ => return None,
        };
        let (major, minor) = words.next()?.split_once(':')?;
        let number = |text: &str| if text == "*" { Some(None) } else { Some(Some(text.parse().ok()?)) };
        let access = parse_access(words.next()?)?;
        Some(Self { allow: true, kinds, major: number(major)?, minor: number(minor)?, access })
    }

    fn is_about_everything(&self) -> bool {
        self.kinds == BOTH && self.major.is_none() && self.minor.is_none() && self.access.is_all()
    }
}

const BOTH: &[Kind] = &[Kind::Character, Kind::Block];

fn number(value: Option<i64>) -> Result<Option<u32>, CgroupError> {
    match value {
        // Docker writes -1 for every number.
        None | Some(-1) => Ok(None),
        Some(value) => match u32::try_from(value) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(invalid(format!("{value} is not a device number"))),
        },
    }
}

fn parse_access(text: &str) -> Option<Access> {
    text.chars().try_fold(Access::empty(), |access, letter| match letter {
        'r' => Some(access | Access::READ),
        'w' => Some(access | Access::WRITE),
        'm' => Some(access | Access::MKNOD),
        _ => None,
    })
}

fn invalid(reason: String) -> CgroupError {
    CgroupError::Invalid { setting: "resources.devices", reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_set(json: &str) -> Result<RuleSet, CgroupError> {
        let rules: Vec<LinuxDeviceCgroup> = serde_json::from_str(json).unwrap();
        RuleSet::of_container(&rules)
    }

    fn lines(json: &str) -> Vec<String> {
        try_set(json).unwrap().exceptions.iter().map(Exception::to_string).collect()
    }

    const PROMISED_LINES: [&str; 11] = [
        "c *:* m",
        "b *:* m",
        "c 1:3 rwm",
        "c 1:5 rwm",
        "c 1:7 rwm",
        "c 1:8 rwm",
        "c 1:9 rwm",
        "c 5:0 rwm",
        "c 5:1 rwm",
        "c 5:2 rwm",
        "c 136:* rwm",
    ];

    #[test]
    fn no_rules_allow_what_is_promised() {
        assert_eq!(lines("[]"), PROMISED_LINES);
        assert_eq!(lines(r#"[{"allow":false,"access":"rwm"}]"#), PROMISED_LINES);
    }

    #[test]
    fn rule_for_everything_allows_everything() {
        assert!(try_set(r#"[{"allow":false},{"allow":true,"access":"rwm"}]"#).unwrap().allows_everything());
        assert!(try_set(r#"[{"allow":true,"type":"a","major":-1,"minor":-1}]"#).unwrap().allows_everything());
    }

    #[test]
    fn rule_of_type_a_with_numbers_is_about_those_numbers() {
        let found = lines(r#"[{"allow":true,"type":"a","major":8,"minor":0,"access":"r"}]"#);
        assert_eq!(found[..2], ["c 8:0 r", "b 8:0 r"]);
    }

    #[test]
    fn later_rules_merge_and_take_back() {
        let found = lines(
            r#"[{"allow":true,"type":"b","major":8,"minor":0,"access":"r"},
                {"allow":true,"type":"b","major":8,"minor":0,"access":"wm"},
                {"allow":true,"type":"b","major":9,"minor":1},
                {"allow":false,"type":"b","major":9},
                {"allow":false,"type":"b","major":8,"minor":0,"access":"m"}]"#,
        );
        assert_eq!(found[0], "b 8:0 rw");
        assert_eq!(found[1..], PROMISED_LINES);
    }

    #[test]
    fn rule_that_takes_back_a_part_is_refused() {
        let error = try_set(
            r#"[{"allow":true,"type":"c","major":8},{"allow":false,"type":"c","major":8,"minor":3,"access":"w"}]"#,
        );
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("c 8:3 w takes back a part of the earlier rule c 8:* rwm")
        );
    }

    #[test]
    fn unreadable_rules_are_refused() {
        assert!(try_set(r#"[{"allow":true,"type":"c","access":"x"}]"#).is_err());
        assert!(try_set(r#"[{"allow":true,"type":"c","major":-7}]"#).is_err());
        assert!(try_set(r#"[{"allow":true,"type":"p"}]"#).is_err());
    }

    #[test]
    fn list_of_the_kernel_reads_back() {
        let set = try_set("[]").unwrap();
        let text: String = set.exceptions.iter().map(|exception| format!("{exception}\n")).collect();
        assert_eq!(RuleSet::parse_list(&text).unwrap(), set);
        assert!(RuleSet::parse_list("a *:* rwm\n").unwrap().allows_everything());
    }
}
