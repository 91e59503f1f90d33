package baseline

import "math"

// UpperTail returns the probability that a negative binomial count with mean mu
// and dispersion a (variance mu + a*mu^2) is at least y. It is exact down to
// about 1e-300, where it becomes 0.
//
// P(Y >= y) = I_q(y, r), the regularized incomplete beta function, with
// r = 1/a and q = mu/(r+mu). Source: Abramowitz and Stegun 26.5.26.
func UpperTail(y int64, mu, a float64) float64 {
	switch {
	case y <= 0:
		return 1
	case mu <= 0:
		return 0
	}
	r := 1 / a
	return incompleteBeta(float64(y), r, mu/(r+mu))
}

// Surprise returns -log10 of a probability: the score of an anomaly. It is at most 300,
// where the probability underflows.
func Surprise(p float64) float64 {
	if p < 1e-300 {
		return 300
	}
	return -math.Log10(p)
}

// incompleteBeta returns I_x(a, b) by the continued fraction of Lentz's method,
// on the side where it converges fast. Source: Press et al., Numerical Recipes,
// section 6.4 (the formulas; the code is our own).
func incompleteBeta(a, b, x float64) float64 {
	switch {
	case x <= 0:
		return 0
	case x >= 1:
		return 1
	}
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	front := math.Exp(lab - la - lb + a*math.Log(x) + b*math.Log1p(-x))
	if x < (a+1)/(a+b+2) {
		return front * fraction(a, b, x) / a
	}
	return 1 - front*fraction(b, a, 1-x)/b
}

func fraction(a, b, x float64) float64 {
	const tiny, epsilon = 1e-300, 1e-14
	away := func(v float64) float64 {
		if math.Abs(v) < tiny {
			return tiny
		}
		return v
	}
	c, d := 1.0, 1/away(1-(a+b)*x/(a+1))
	f := d
	// Converges in about sqrt(max(a,b)) steps; counts stay below 1e9.
	for m := 1.0; m < 100_000; m++ {
		even := m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m))
		d = 1 / away(1+even*d)
		c = away(1 + even/c)
		f *= d * c
		odd := -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))
		d = 1 / away(1+odd*d)
		c = away(1 + odd/c)
		step := d * c
		f *= step
		if math.Abs(step-1) < epsilon {
			break
		}
	}
	return f
}

// StudentTail returns the probability that Student's t with nu degrees of freedom is at
// least t, for nonnegative t.
func StudentTail(t, nu float64) float64 { return incompleteBeta(nu/2, 0.5, nu/(nu+t*t)) / 2 }
