// Comparisons: of two numbers a bool.

#define COMPARE(name, operation)                                                                 \
    ZIP_OF(name, float, f32, bool, a, b, a operation b)                                          \
    ZIP_OF(name, double, f64, bool, a, b, a operation b)                                         \
    ZIP_OF(name, i64, i64, bool, a, b, a operation b)                                            \
    ZIP_OF(name, u8, u8, bool, a, b, a operation b)                                              \
    ZIP_OF(name, bool, bool, bool, a, b, a operation b)

COMPARE(eq, ==)
COMPARE(ne, !=)
COMPARE(lt, <)
COMPARE(le, <=)
COMPARE(gt, >)
COMPARE(ge, >=)
