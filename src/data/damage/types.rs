//! The types that a schema of Arrow IPC names: those that arrow's reader panics on are detected here.

use arrow::ipc::{DateUnit, Field, IntervalUnit, Precision, Schema, TimeUnit, Type, UnionMode};

/// The maximum nesting depth of types.
const DEEPEST: usize = 64;

/// The error of the types of a schema.
pub(super) fn unsound(schema: Schema<'_>) -> Option<String> {
    let fields = schema.fields().into_iter().flatten();
    fields.into_iter().find_map(|field| of_field(field, 0))
}

fn of_field(field: Field<'_>, depth: usize) -> Option<String> {
    let wrong = |why: &str| {
        let name = field.name().unwrap_or_default();
        Some(format!("the type of column `{name}` {why}"))
    };
    if depth > DEEPEST {
        return wrong("is nested too deep");
    }
    if !is_sound(field) {
        return wrong("does not exist");
    }
    let children = field.children();
    let n_children = children.map_or(0, |children| children.len());
    let wanted = match field.type_type() {
        Type::List
        | Type::LargeList
        | Type::ListView
        | Type::LargeListView
        | Type::FixedSizeList
        | Type::Map => 1,
        Type::RunEndEncoded => 2,
        _ => n_children,
    };
    if n_children != wanted {
        return wrong(&format!("has {n_children} fields, must have {wanted}"));
    }
    let children = children.into_iter().flatten();
    children
        .into_iter()
        .find_map(|child| of_field(child, depth + 1))
}

fn is_sound(field: Field<'_>) -> bool {
    let is_index = |width: i32| matches!(width, 8 | 16 | 32 | 64);
    if let Some(dictionary) = field.dictionary()
        && !dictionary
            .indexType()
            .is_some_and(|int| is_index(int.bitWidth()))
    {
        return false;
    }
    let is_unit = |unit: TimeUnit| (0..=3).contains(&unit.0);
    let sound = match field.type_type() {
        Type::Null
        | Type::Bool
        | Type::Binary
        | Type::BinaryView
        | Type::LargeBinary
        | Type::Utf8
        | Type::Utf8View
        | Type::LargeUtf8
        | Type::List
        | Type::LargeList
        | Type::ListView
        | Type::LargeListView
        | Type::Struct_
        | Type::RunEndEncoded => Some(true),
        Type::Int => field.type_as_int().map(|int| is_index(int.bitWidth())),
        Type::FixedSizeBinary => field
            .type_as_fixed_size_binary()
            .map(|binary| binary.byteWidth() >= 0),
        Type::FixedSizeList => field
            .type_as_fixed_size_list()
            .map(|list| list.listSize() >= 0),
        Type::FloatingPoint => field.type_as_floating_point().map(|float| {
            let known = [Precision::HALF, Precision::SINGLE, Precision::DOUBLE];
            known.contains(&float.precision())
        }),
        Type::Date => field
            .type_as_date()
            .map(|date| [DateUnit::DAY, DateUnit::MILLISECOND].contains(&date.unit())),
        Type::Time => field.type_as_time().map(|time| {
            let (width, unit) = (time.bitWidth(), time.unit());
            is_unit(unit)
                && width
                    == if unit.0 < TimeUnit::MICROSECOND.0 {
                        32
                    } else {
                        64
                    }
        }),
        Type::Timestamp => field.type_as_timestamp().map(|time| is_unit(time.unit())),
        Type::Duration => field.type_as_duration().map(|time| is_unit(time.unit())),
        Type::Interval => field.type_as_interval().map(|interval| {
            let (first, last) = (IntervalUnit::YEAR_MONTH.0, IntervalUnit::MONTH_DAY_NANO.0);
            (first..=last).contains(&interval.unit().0)
        }),
        Type::Map => field.type_as_map().map(|_| true),
        Type::Decimal => field.type_as_decimal().map(|decimal| {
            let most = match decimal.bitWidth() {
                32 => 9,
                64 => 18,
                128 => 38,
                256 => 76,
                _ => 0,
            };
            let (precision, scale) = (decimal.precision(), decimal.scale());
            (1..=most).contains(&precision) && (-most..=precision).contains(&scale)
        }),
        Type::Union => field.type_as_union().map(|union| {
            let ids: Option<Vec<i32>> = union.typeIds().map(|ids| ids.iter().collect());
            let n = field.children().map_or(0, |children| children.len());
            let are_ids = ids.is_none_or(|mut ids| {
                let len = ids.len();
                ids.sort_unstable();
                ids.dedup();
                ids.len() == len && len == n && ids.iter().all(|id| (0..=127).contains(id))
            });
            n <= 128 && are_ids && [UnionMode::Dense, UnionMode::Sparse].contains(&union.mode())
        }),
        _ => None,
    };
    sound.unwrap_or(false)
}
