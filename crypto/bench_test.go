package crypto

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"securepeer/keys"
)

// handshakePair is two members, for handshakes in memory.
type handshakePair struct {
	dialler, answerer *keys.Secret
}

// run is one hybrid handshake, both sides, bytes to bytes.
func (p *handshakePair) run(t testing.TB) {
	me := Info{Incarnation: 1, PingIndex: 1, Caps: Caps()}
	i, frame1, err := NewInitiator(p.dialler, p.answerer.Public(), "attic", me, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Respond(p.answerer, "attic", frame1)
	if err != nil {
		t.Fatal(err)
	}
	frame2, _, err := r.Answer(me, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Finish(frame2); err != nil {
		t.Fatal(err)
	}
}

// tlsPair is what a user would take instead: mutual TLS 1.3 with the hybrid
// group, P-256 certificates of a private authority, no tickets.
type tlsPair struct {
	client, server *tls.Config
}

func newTLSPair(t testing.TB) *tlsPair {
	t.Helper()
	authority, root := newCertificate(t, nil)
	pool := x509.NewCertPool()
	pool.AddCert(root)
	config := func() *tls.Config {
		cert, _ := newCertificate(t, authority)
		return &tls.Config{
			Certificates:           []tls.Certificate{*cert},
			RootCAs:                pool,
			ClientCAs:              pool,
			ClientAuth:             tls.RequireAndVerifyClientCert,
			ServerName:             "peer.test",
			MinVersion:             tls.VersionTLS13,
			CurvePreferences:       []tls.CurveID{tls.X25519MLKEM768},
			SessionTicketsDisabled: true,
		}
	}
	return &tlsPair{config(), config()}
}

// pinned compares certificates instead of verifying them, as one may do
// without an authority: TLS at its cheapest.
func (p *tlsPair) pinned() *tlsPair {
	pin := func(own *tls.Config, peer tls.Certificate) *tls.Config {
		c := own.Clone()
		c.InsecureSkipVerify, c.ClientAuth = true, tls.RequireAnyClientCert
		c.VerifyConnection = func(s tls.ConnectionState) error {
			if !bytes.Equal(s.PeerCertificates[0].Raw, peer.Certificate[0]) {
				return errors.New("another certificate")
			}
			return nil
		}
		return c
	}
	return &tlsPair{pin(p.client, p.server.Certificates[0]), pin(p.server, p.client.Certificates[0])}
}

// newCertificate makes an authority, or with one a peer's certificate.
func newCertificate(t testing.TB, authority *tls.Certificate) (*tls.Certificate, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "peer"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		DNSNames:              []string{"peer.test"},
		IsCA:                  authority == nil,
	}
	parent, signer := template, key
	if authority != nil {
		parent, signer = authority.Leaf, authority.PrivateKey.(*ecdsa.PrivateKey)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, leaf
}

// run is one handshake, both sides, over a pipe with buffers.
func (p *tlsPair) run(t testing.TB) {
	a, b := newBufferedPipe()
	done := make(chan error, 1)
	server := tls.Server(b, p.server)
	go func() { done <- server.Handshake() }()
	client := tls.Client(a, p.client)
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if client.ConnectionState().CurveID != tls.X25519MLKEM768 {
		t.Fatal("TLS did not use the hybrid group")
	}
}

// bufferedPipe is one end of a connection in memory whose writes never wait,
// so that TLS is not charged for hand-overs.
type bufferedPipe struct {
	net.Conn // nil: the deadlines that a handshake does not use
	in, out  chan []byte
	rest     []byte
}

func newBufferedPipe() (a, b *bufferedPipe) {
	x, y := make(chan []byte, 64), make(chan []byte, 64)
	return &bufferedPipe{in: x, out: y}, &bufferedPipe{in: y, out: x}
}

func (p *bufferedPipe) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		next, open := <-p.in
		if !open {
			return 0, io.EOF
		}
		p.rest = next
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *bufferedPipe) Write(b []byte) (int, error) {
	p.out <- append([]byte(nil), b...)
	return len(b), nil
}

func BenchmarkHandshakeHybrid(b *testing.B) {
	p := &handshakePair{newSecret(b), newSecret(b)}
	b.ReportAllocs()
	for b.Loop() {
		p.run(b)
	}
}

func BenchmarkHandshakeTLS(b *testing.B) {
	p := newTLSPair(b)
	b.ReportAllocs()
	for b.Loop() {
		p.run(b)
	}
}

// BenchmarkHandshakeRatio prints what a hybrid handshake costs, both sides, as
// a share of the same in TLS: the median of interleaved pairs, on one
// processor so that time is work. It fails above 1 of TLS with an authority.
func BenchmarkHandshakeRatio(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	authority := newTLSPair(b)
	ours := &handshakePair{newSecret(b), newSecret(b)}
	for _, against := range []struct {
		name string
		pair *tlsPair
	}{{"authority", authority}, {"pinned", authority.pinned()}} {
		b.Run(against.name, func(b *testing.B) {
			const batch = 4
			spend := func(run func(testing.TB)) float64 {
				start := time.Now()
				for range batch {
					run(b)
				}
				return float64(time.Since(start))
			}
			var ratios []float64
			for b.Loop() {
				ratios = append(ratios, spend(ours.run)/spend(against.pair.run))
			}
			slices.Sort(ratios)
			median := ratios[len(ratios)/2]
			b.ReportMetric(median, "of-TLS")
			if against.pair == authority && median > 1 {
				b.Errorf("a handshake costs %.2f of TLS", median)
			}
		})
	}
}
