// Derivatives: of the result `y` or the operand `x`, and the gradient `g` of the result.
ZIP_FLOATS(exp_back, y, g, g *y)
ZIP_FLOATS(ln_back, x, g, g / x)
ZIP_FLOATS(sqrt_back, y, g, g / (y + y))
ZIP_FLOATS(sin_back, x, g, g *cos(x))
ZIP_FLOATS(cos_back, x, g, -(g * sin(x)))
ZIP_FLOATS(tanh_back, y, g, g *(1 - y * y))
ZIP_FLOATS(sigmoid_back, y, g, g *y *(1 - y))
ZIP_FLOATS(relu_back, y, g, y <= 0 ? 0 : g)
// The normal density is exp(-x²/2) / √2π.
ZIP_FLOATS(gelu_back, x, g,
           g *(normal_below(x) + x * exp(-(x * x / 2)) / decltype(x)(2.506628274631000502)))
