package keys

import (
	"errors"
	"math/big"
	"slices"
)

var (
	errNotCanonical = errors.New("not a canonical encoding")
	errLowOrder     = errors.New("a low-order point, which would make every shared secret or signature forgeable")
	errNotOnCurve   = errors.New("not a point of the curve")
)

// curve holds the numbers of the two forms of Curve25519: RFC 7748 section
// 4.1 and RFC 8032 section 5.1.
var curve = newCurve()

type curveNumbers struct {
	p, d *big.Int
	lowU []*big.Int // u of the points of order 1, 2, 4 and 8, on the curve and on its twist
	lowY []*big.Int // y of the points of order 1, 2, 4 and 8
}

func newCurve() curveNumbers {
	one := big.NewInt(1)
	p := new(big.Int).Sub(new(big.Int).Lsh(one, 255), big.NewInt(19))
	minusOne := new(big.Int).Sub(p, one)
	// "The constant d is ... -121665/121666" (RFC 8032, section 5.1).
	d := new(big.Int).ModInverse(big.NewInt(121666), p)
	d.Mul(d, big.NewInt(-121665)).Mod(d, p)
	return curveNumbers{
		p: p, d: d,
		lowU: []*big.Int{
			big.NewInt(0), one, minusOne,
			decimal("325606250916557431795983626356110631294008115727848805560023387167927233504"),
			decimal("39382357235489614581723060781553021112529911719440698176882885853963445705823"),
		},
		lowY: []*big.Int{
			big.NewInt(0), one, minusOne,
			decimal("2707385501144840649318225287225658788936804267575313519463743609750303402022"),
			decimal("55188659117513257062467267217118295137698188065244968500265048394206261417927"),
		},
	}
}

func decimal(digits string) *big.Int {
	n, ok := new(big.Int).SetString(digits, 10)
	if !ok {
		panic("keys: internal error: bad constant")
	}
	return n
}

// checkNoise returns why u is no public key for X25519. X25519 itself takes
// any 32 bytes, ignores the top bit and reduces the rest, so that one key
// would have several spellings; and for the low-order points every secret
// gives the same, all-zero result (RFC 7748, section 6.1).
func checkNoise(u [32]byte) error {
	n := littleEndian(u)
	if n.Cmp(curve.p) >= 0 { // with the top bit set, too
		return errNotCanonical
	}
	if isOneOf(n, curve.lowU) {
		return errLowOrder
	}
	return nil
}

// checkSign returns why key is no public key for Ed25519: y is not reduced,
// the point has a small order (any message would then have a signature that
// verifies), or no x belongs to y.
func checkSign(key [32]byte) error {
	key[31] &= 0x7f // the sign of x; both signs stand for a point unless x = 0, which is of small order
	y := littleEndian(key)
	if y.Cmp(curve.p) >= 0 {
		return errNotCanonical
	}
	if isOneOf(y, curve.lowY) {
		return errLowOrder
	}
	// x^2 = (y^2 - 1) / (d y^2 + 1). The quotient of u and v is a square
	// exactly when their product is.
	yy := new(big.Int).Mul(y, y)
	u := new(big.Int).Sub(yy, big.NewInt(1))
	v := yy.Mul(yy, curve.d)
	v.Add(v, big.NewInt(1))
	u.Mul(u, v).Mod(u, curve.p)
	if big.Jacobi(u, curve.p) != 1 {
		return errNotOnCurve
	}
	return nil
}

func littleEndian(b [32]byte) *big.Int {
	slices.Reverse(b[:])
	return new(big.Int).SetBytes(b[:])
}

func isOneOf(n *big.Int, list []*big.Int) bool {
	return slices.ContainsFunc(list, func(m *big.Int) bool { return n.Cmp(m) == 0 })
}
