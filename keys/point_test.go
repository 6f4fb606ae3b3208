package keys

import (
	"errors"
	"math/big"
	"slices"
	"testing"
)

// toLittle is the 32-byte little-endian form of n < 2^256.
func toLittle(n *big.Int) (b [32]byte) {
	n.FillBytes(b[:])
	slices.Reverse(b[:])
	return b
}

// lowOrderX25519 are the 7 encodings of low-order points that fit 255 bits, as
// listed in "May the Fourth Be With You" and by libsodium, and each with the
// top bit set, which X25519 ignores.
func lowOrderX25519(t testing.TB) [][32]byte {
	var list [][32]byte
	for _, text := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000", // 0, order 4
		"0100000000000000000000000000000000000000000000000000000000000000", // 1, order 1 or 4
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800", // order 8
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157", // order 8
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p - 1, order 2
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p, is 0
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p + 1, is 1
	} {
		point := [32]byte(unhex(t, text))
		list = append(list, point)
		point[31] |= 0x80
		list = append(list, point)
	}
	return list
}

func TestLowOrderNoiseKeysAreRefused(t *testing.T) {
	sign := testPublic(t, "alice").Sign
	for i, point := range lowOrderX25519(t) {
		want := errNotCanonical // the last two, and all with the top bit
		if i%2 == 0 && i < 10 {
			want = errLowOrder
		}
		_, err := ParsePublic(Public{point, sign}.String())
		if !errors.Is(err, want) {
			t.Errorf("ParsePublic(noise = %x) = %v, want %v", point, err, want)
		}
	}
}

// Every u of 255 bits that is not reduced, and a good key with the top bit:
// X25519 would take them for another spelling of a good key.
func TestNonCanonicalNoiseKeysAreRefused(t *testing.T) {
	for i := range int64(19) {
		point := toLittle(new(big.Int).Add(curve.p, big.NewInt(i)))
		if err := checkNoise(point); !errors.Is(err, errNotCanonical) {
			t.Errorf("checkNoise(p + %d) = %v, want %v", i, err, errNotCanonical)
		}
	}
	good := testPublic(t, "alice").Noise
	if err := checkNoise(good); err != nil {
		t.Errorf("checkNoise(%x) = %v, want none", good, err)
	}
	good[31] |= 0x80
	if err := checkNoise(good); !errors.Is(err, errNotCanonical) {
		t.Errorf("checkNoise with the top bit = %v, want %v", err, errNotCanonical)
	}
}

// edwards is a point of the curve of RFC 8032 in affine form: slow, and
// written from the addition law alone, to check the constants against.
type edwards struct{ x, y *big.Int }

func (a edwards) add(b edwards) edwards {
	p, one := curve.p, big.NewInt(1)
	mul := func(n ...*big.Int) *big.Int {
		product := big.NewInt(1)
		for _, v := range n {
			product.Mul(product, v).Mod(product, p)
		}
		return product
	}
	k := mul(curve.d, a.x, b.x, a.y, b.y)
	over := func(n, d *big.Int) *big.Int { return mul(n, new(big.Int).ModInverse(d.Mod(d, p), p)) }
	return edwards{
		x: over(new(big.Int).Add(mul(a.x, b.y), mul(a.y, b.x)), new(big.Int).Add(one, k)),
		y: over(new(big.Int).Add(mul(a.y, b.y), mul(a.x, b.x)), new(big.Int).Sub(one, k)),
	}
}

// The points of small order are a group of 8. From one of order 8 all others
// follow; their y must be the list, all of it and nothing else, and
// u = (1 + y) / (1 - y) (RFC 7748, section 4.1) the list of X25519 but for the
// point of the twist, u = -1.
func TestLowOrderListsAreTheGroupOfEight(t *testing.T) {
	y := curve.lowY[3]
	yy := new(big.Int).Mul(y, y)
	v := new(big.Int).ModInverse(new(big.Int).Add(new(big.Int).Mul(curve.d, yy), big.NewInt(1)), curve.p)
	x := new(big.Int).ModSqrt(v.Mul(v, yy.Sub(yy, big.NewInt(1))).Mod(v, curve.p), curve.p)
	if x == nil {
		t.Fatal("no point has the y of order 8")
	}
	generator := edwards{x, y}
	order, ys, us := 0, map[string]bool{}, map[string]bool{}
	for at := generator; ; at = at.add(generator) {
		order++
		ys[at.y.String()] = true
		if below := new(big.Int).Sub(big.NewInt(1), at.y); below.Sign() != 0 {
			u := new(big.Int).ModInverse(below.Mod(below, curve.p), curve.p)
			us[u.Mul(u, new(big.Int).Add(big.NewInt(1), at.y)).Mod(u, curve.p).String()] = true
		}
		if at.x.Sign() == 0 && at.y.Cmp(big.NewInt(1)) == 0 {
			break
		}
	}
	if order != 8 || len(ys) != len(curve.lowY) {
		t.Fatalf("order %d with %d values of y, want 8 and %d", order, len(ys), len(curve.lowY))
	}
	for _, y := range curve.lowY {
		if !ys[y.String()] {
			t.Errorf("%v is in the list but of no small order", y)
		}
	}
	us[new(big.Int).Sub(curve.p, big.NewInt(1)).String()] = true
	for _, u := range curve.lowU {
		if !us[u.String()] {
			t.Errorf("%v is in the list but of no small order", u)
		}
	}
	if len(us) != len(curve.lowU) {
		t.Errorf("%d low-order values of u, want %d", len(us), len(curve.lowU))
	}
}

func TestBadSignKeysAreRefused(t *testing.T) {
	noise := testPublic(t, "alice").Noise
	type bad struct {
		y    *big.Int
		want error
	}
	var list []bad
	for _, y := range curve.lowY {
		list = append(list, bad{y, errLowOrder})
	}
	for i := range int64(19) { // all y that are not reduced
		list = append(list, bad{new(big.Int).Add(curve.p, big.NewInt(i)), errNotCanonical})
	}
	list = append(list, bad{big.NewInt(2), errNotOnCurve}, bad{big.NewInt(7), errNotOnCurve})
	for _, b := range list {
		for _, sign := range []byte{0, 0x80} {
			point := toLittle(b.y)
			point[31] |= sign
			if _, err := ParsePublic(Public{noise, point}.String()); !errors.Is(err, b.want) {
				t.Errorf("ParsePublic(sign = %x) = %v, want %v", point, err, b.want)
			}
		}
	}
}

// About half of all y belong to no point: the check by Jacobi symbol must
// agree with taking the root.
func TestOnCurveAgreesWithTheRoot(t *testing.T) {
	on := 0
	for n := range int64(400) {
		y := big.NewInt(n + 2)
		yy := new(big.Int).Mul(y, y)
		v := new(big.Int).ModInverse(new(big.Int).Add(new(big.Int).Mul(curve.d, yy), big.NewInt(1)), curve.p)
		xx := v.Mul(v, yy.Sub(yy, big.NewInt(1))).Mod(v, curve.p)
		want := new(big.Int).ModSqrt(xx, curve.p) != nil
		if got := checkSign(toLittle(y)) == nil; got != want {
			t.Errorf("y = %v on the curve: %v, want %v", y, got, want)
		}
		if want {
			on++
		}
	}
	if on < 150 || on > 250 {
		t.Errorf("%d of 400 on the curve, want about half", on)
	}
}
