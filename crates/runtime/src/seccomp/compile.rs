//! From a filter to classic BPF.
//!
//! ```text
//! load arch ─ is it …? ─ load number ─ binary search over ranges of equal verdicts ─┬─ return
//!                 └ else kill the process                                           └─ tests of arguments ─ return
//! ```
//!
//! Neighbouring numbers with the same verdict are one range, so that a system call meets seven comparisons or so. All
//! operations are among those that the kernel itself evaluates once for each number to skip the filter where it always allows
//! (`seccomp_cache_prepare`).

use std::collections::BTreeMap;

use sys::seccomp::Instruction;

use super::SeccompError;
use super::arch::{Abi, X32_BIT};
use super::filter::{Action, Comparison, Condition, ENOSYS, Filter, Rule, Width};

/// Changes with every change of what is compiled, so that no stored program outlives it.
pub(super) const VERSION: u32 = 2;

/// `BPF_MAXINSNS`.
const MAX_INSTRUCTIONS: usize = 4096;

// Operations, as the kernel's "Linux Socket Filtering" document has them.
const LOAD_WORD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// Compiles the filter.
///
/// # Errors
/// [`SeccompError::TooLarge`] above the kernel's limit of 4096 instructions.
pub(super) fn compile(filter: &Filter) -> Result<Vec<Instruction>, SeccompError> {
    let mut code = vec![operation(LOAD_WORD, ARCH)];
    let mut done = Vec::new();
    for audit in filter.abis.iter().map(|abi| abi.audit()) {
        // x32 has its neighbour's `arch`.
        if done.contains(&audit) {
            continue;
        }
        let section = section(filter, audit);
        code.push(jump(JUMP_EQUAL, audit, 1, 0));
        code.push(operation(JUMP, length(&section)));
        code.extend(section);
        done.push(audit);
    }
    code.push(returning(Action::KillProcess));
    if code.len() > MAX_INSTRUCTIONS { Err(SeccompError::TooLarge(code.len())) } else { Ok(code) }
}

/// What is done for one `arch`; it ends in returns only.
fn section(filter: &Filter, audit: u32) -> Vec<Instruction> {
    let mut code = vec![operation(LOAD_WORD, NUMBER)];
    let mut ranges = Vec::new();
    for abi in filter.abis.iter().filter(|abi| abi.audit() == audit) {
        ranges.extend(abi_ranges(filter, *abi));
    }
    if audit == Abi::X86_64.audit() && !filter.abis.contains(&Abi::X32) {
        // Else a filter that refuses by number could be walked around.
        ranges.push(Range { first: X32_BIT, verdict: Verdict::Return(Action::Errno(ENOSYS)) });
    }
    ranges.sort_by_key(|range| range.first);
    let ranges = merged(ranges);
    code.extend(search(&ranges));
    code
}

/// What happens from a number on, up to the next range.
#[derive(Clone, Debug, PartialEq)]
struct Range {
    first: u32,
    verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    Return(Action),
    Test { rules: Vec<Test>, otherwise: Action },
}

/// Conditions that all must hold for an action.
#[derive(Clone, Debug, PartialEq)]
struct Test {
    conditions: Vec<Condition>,
    action: Action,
}

/// What the rules say about one system call.
#[derive(Default)]
struct Entry {
    always: Option<Action>,
    tests: Vec<Test>,
}

impl Entry {
    fn add(&mut self, action: Action, conditions: Vec<Condition>) {
        if conditions.is_empty() {
            self.always.get_or_insert(action);
        } else {
            self.tests.push(Test { conditions, action });
        }
    }

    fn verdict(self, default: Action) -> Verdict {
        match self.always {
            Some(action) => Verdict::Return(action),
            None if self.tests.is_empty() => Verdict::Return(default),
            None => Verdict::Test { rules: self.tests, otherwise: default },
        }
    }
}

fn abi_ranges(filter: &Filter, abi: Abi) -> Vec<Range> {
    let mut entries: BTreeMap<u32, Entry> = BTreeMap::new();
    for rule in &filter.rules {
        add_rule(&mut entries, rule, abi, filter.default_action);
    }
    let lowest = if abi == Abi::X32 { X32_BIT } else { 0 };
    let unknown_from = highest_mentioned(filter, abi).map_or(u32::MAX, |highest| highest + 1);
    let mut ranges = Vec::new();
    let mut next = lowest;
    for (number, entry) in entries {
        fill_gap(&mut ranges, filter, next..number, unknown_from);
        ranges.push(Range { first: number, verdict: entry.verdict(filter.default_action) });
        next = number + 1;
    }
    fill_gap(&mut ranges, filter, next..u32::MAX, unknown_from);
    merged(ranges)
}

/// Numbers of no rule: known ones up to the youngest that the profile mentions, and unknown ones from there.
fn fill_gap(ranges: &mut Vec<Range>, filter: &Filter, gap: std::ops::Range<u32>, unknown_from: u32) {
    let mut push = |first, action| ranges.push(Range { first, verdict: Verdict::Return(action) });
    if gap.start < gap.end.min(unknown_from) {
        push(gap.start, filter.default_action);
    }
    if unknown_from.max(gap.start) < gap.end {
        push(unknown_from.max(gap.start), filter.unknown_action());
    }
}

/// Makes neighbours with the same verdict one.
fn merged(ranges: Vec<Range>) -> Vec<Range> {
    let mut found: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        if found.last().is_none_or(|last| last.verdict != range.verdict) {
            found.push(range);
        }
    }
    found
}

/// Adds a rule to the entries of its names. A rule that asks for what is done anyway adds nothing to them (libseccomp refuses
/// such rules and runc leaves them out), but its numbers are known ones like all that a rule names.
fn add_rule(entries: &mut BTreeMap<u32, Entry>, rule: &Rule, abi: Abi, default_action: Action) {
    let is_redundant = rule.action == default_action;
    for name in &rule.names {
        if let Some(number) = abi.number(name) {
            let entry = entries.entry(number).or_default();
            if !is_redundant {
                entry.add(rule.action, conditions_on(rule, abi));
            }
        }
        if let Some((number, call)) = abi.multiplexed(name) {
            let entry = entries.entry(number).or_default();
            // Behind a multiplexer the arguments are in memory, where no filter sees them: a rule about them cannot allow it.
            if !is_redundant && rule.conditions.is_empty() {
                entry.add(rule.action, vec![is_multiplexed_call(call)]);
            }
        }
    }
}

/// The condition that a multiplexer is asked for this call.
fn is_multiplexed_call(call: u32) -> Condition {
    Condition { index: 0, width: Width::Low32, comparison: Comparison::Equal, value: u64::from(call) }
}

/// The rule's conditions; where registers have 32 bits, the upper halves say nothing.
fn conditions_on(rule: &Rule, abi: Abi) -> Vec<Condition> {
    let narrow = |condition: &Condition| match abi.is_32_bit() {
        true => Condition { width: Width::Low32, ..*condition },
        false => *condition,
    };
    rule.conditions.iter().map(narrow).collect()
}

/// The highest number of any rule's names, of those that are given out in the order of time.
fn highest_mentioned(filter: &Filter, abi: Abi) -> Option<u32> {
    let names = filter.rules.iter().flat_map(|rule| &rule.names);
    names.filter_map(|name| abi.number(name)).filter(|number| abi.tells_age(*number)).max()
}

/// Finds the range of the number in the accumulator.
fn search(ranges: &[Range]) -> Vec<Instruction> {
    if let [range] = ranges {
        return leaf(&range.verdict);
    }
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let below = search(low);
    let above = search(high);
    let mut code = match u8::try_from(below.len()) {
        Ok(distance) => vec![jump(JUMP_GREATER_OR_EQUAL, high[0].first, distance, 0)],
        // A conditional jump reaches 255 instructions, a plain one any.
        Err(_) => vec![jump(JUMP_GREATER_OR_EQUAL, high[0].first, 0, 1), operation(JUMP, length(&below))],
    };
    code.extend(below);
    code.extend(above);
    code
}

fn leaf(verdict: &Verdict) -> Vec<Instruction> {
    match verdict {
        Verdict::Return(action) => vec![returning(*action)],
        Verdict::Test { rules, otherwise } => {
            let mut code: Vec<Instruction> = rules.iter().flat_map(test).collect();
            code.push(returning(*otherwise));
            code
        }
    }
}

/// Where a jump leads, before its distance is known.
#[derive(Clone, Copy)]
enum Target {
    /// The next instruction.
    Next,
    /// The next condition.
    Holds,
    /// The next rule.
    Fails,
}

/// An instruction whose jumps are not resolved.
enum Draft {
    Plain(Instruction),
    Branch { code: u16, constant: u32, yes: Target, no: Target },
}

/// Tests all conditions; falls through behind its return where one does not hold.
fn test(test: &Test) -> Vec<Instruction> {
    let drafts: Vec<Vec<Draft>> = test.conditions.iter().map(condition).collect();
    let total: usize = drafts.iter().map(Vec::len).sum();
    let mut code = Vec::with_capacity(total + 1);
    let mut end_of_condition = 0;
    for condition in drafts {
        end_of_condition += condition.len();
        for draft in condition {
            let here = code.len() + 1;
            let distance = |target: Target| {
                let to = match target {
                    Target::Next => here,
                    Target::Holds => end_of_condition,
                    Target::Fails => total + 1,
                };
                u8::try_from(to - here).expect("six conditions are at most 36 instructions")
            };
            code.push(match draft {
                Draft::Plain(instruction) => instruction,
                Draft::Branch { code, constant, yes, no } => {
                    jump(code, constant, distance(yes), distance(no))
                }
            });
        }
    }
    code.push(returning(test.action));
    code
}

/// The halves of an argument and of what it is compared with. Little-endian: the low half comes first.
fn condition(condition: &Condition) -> Vec<Draft> {
    let offset = 16 + 8 * u32::from(condition.index);
    let load_low = || Draft::Plain(operation(LOAD_WORD, offset));
    let load_high = || Draft::Plain(operation(LOAD_WORD, offset + 4));
    let (high, low) = ((condition.value >> 32) as u32, condition.value as u32);
    let branch = |code, constant, yes, no| Draft::Branch { code, constant, yes, no };
    use Target::{Fails, Holds, Next};
    // The operation on the low halves, and where it leads.
    let (code, yes, no) = match condition.comparison {
        Comparison::Equal => (JUMP_EQUAL, Holds, Fails),
        Comparison::NotEqual => (JUMP_EQUAL, Fails, Holds),
        Comparison::Greater => (JUMP_GREATER, Holds, Fails),
        Comparison::LessOrEqual => (JUMP_GREATER, Fails, Holds),
        Comparison::GreaterOrEqual => (JUMP_GREATER_OR_EQUAL, Holds, Fails),
        Comparison::Less => (JUMP_GREATER_OR_EQUAL, Fails, Holds),
        Comparison::MaskedEqual(mask) => return masked(condition, mask),
    };
    if condition.width == Width::Low32 {
        return vec![load_low(), branch(code, low, yes, no)];
    }
    let mut drafts = vec![load_high()];
    match condition.comparison {
        Comparison::Equal => drafts.push(branch(JUMP_EQUAL, high, Next, Fails)),
        Comparison::NotEqual => drafts.push(branch(JUMP_EQUAL, high, Next, Holds)),
        // Above in the high half decides as above in the low one does; below the other way round; equal goes on.
        _ => {
            drafts.push(branch(JUMP_GREATER, high, yes, Next));
            drafts.push(branch(JUMP_EQUAL, high, Next, no));
        }
    }
    drafts.extend([load_low(), branch(code, low, yes, no)]);
    drafts
}

/// Compares in the bits of a mask; bits of the value outside it do not count.
fn masked(condition: &Condition, mask: u64) -> Vec<Draft> {
    let offset = 16 + 8 * u32::from(condition.index);
    let halves = [(offset + 4, mask >> 32, condition.value >> 32), (offset, mask, condition.value)];
    let counted = if condition.width == Width::Low32 { &halves[1..] } else { &halves[..] };
    let mut drafts = Vec::new();
    for (at, mask, value) in counted.iter().map(|(at, mask, value)| (*at, *mask as u32, *value as u32)) {
        // No bit of this half counts.
        if mask == 0 {
            continue;
        }
        drafts.push(Draft::Plain(operation(LOAD_WORD, at)));
        drafts.push(Draft::Plain(operation(AND, mask)));
        drafts.push(Draft::Branch {
            code: JUMP_EQUAL,
            constant: value & mask,
            yes: Target::Next,
            no: Target::Fails,
        });
    }
    drafts
}

fn operation(code: u16, constant: u32) -> Instruction {
    Instruction { code, jump_true: 0, jump_false: 0, constant }
}

fn jump(code: u16, constant: u32, jump_true: u8, jump_false: u8) -> Instruction {
    Instruction { code, jump_true, jump_false, constant }
}

fn returning(action: Action) -> Instruction {
    operation(RETURN, action.code())
}

fn length(code: &[Instruction]) -> u32 {
    u32::try_from(code.len()).expect("a program is far shorter")
}
