// Functions of two numbers.

ZIP_NUMBERS(add, a, b, plus(a, b))
ZIP_NUMBERS(sub, a, b, minus(a, b))
ZIP_NUMBERS(mul, a, b, times(a, b))
ZIP_FLOATS(div, a, b, a / b)
ZIP_NUMBERS(pow, a, b, power(a, b))
ZIP_NUMBERS(maximum, a, b, greater(a, b))
ZIP_NUMBERS(minimum, a, b, smaller(a, b))
