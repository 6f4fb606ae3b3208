package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The baseline is this program itself, run with these words: a server that
// sends the file that it is asked for, and a client that writes it.
const (
	serveWord = "tls-serve" // CERTIFICATE; prints its address
	fetchWord = "tls-fetch" // CERTIFICATE ADDRESS FILE TARGET
)

// copyBuffer is what the baseline moves at a time: more is no faster.
const copyBuffer = 256 << 10

// baselineName is whom the certificate is for.
const baselineName = "bench.test"

// runBaseline runs a side of the baseline, if the arguments ask for one.
func runBaseline(args []string) bool {
	var err error
	switch {
	case args[0] == serveWord && len(args) == 2:
		err = serveTLS(args[1])
	case args[0] == fetchWord && len(args) == 5:
		err = fetchTLS(args[1], args[2], args[3], args[4])
	default:
		return false
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	return true
}

// tlsConfig is mutual TLS 1.3 with the hybrid group; both sides show the one
// certificate that both trust.
func tlsConfig(certificate string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(certificate, certificate)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(pair.Leaf)
	return &tls.Config{
		Certificates:           []tls.Certificate{pair},
		RootCAs:                pool,
		ClientCAs:              pool,
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ServerName:             baselineName,
		MinVersion:             tls.VersionTLS13,
		CurvePreferences:       []tls.CurveID{tls.X25519MLKEM768},
		SessionTicketsDisabled: true,
	}, nil
}

func serveTLS(certificate string) error {
	config, err := tlsConfig(certificate)
	if err != nil {
		return err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() { // ends with the transfer, or with the process
			if err := sendTLS(conn.(*tls.Conn)); err != nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
			}
		}()
	}
}

// sendTLS sends the file whose name comes first.
func sendTLS(conn *tls.Conn) error {
	defer conn.Close()
	name, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	f, err := os.Open(strings.TrimSuffix(name, "\n"))
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{f}, make([]byte, copyBuffer)); err != nil {
		return err
	}
	return conn.CloseWrite()
}

func fetchTLS(certificate, addr, file, target string) error {
	config, err := tlsConfig(certificate)
	if err != nil {
		return err
	}
	conn, err := tls.Dial("tcp", addr, config)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := fmt.Fprintln(conn, file); err != nil {
		return err
	}
	f, err := os.Create(target)
	if err != nil {
		return err
	}
	// TLS gives 16 KiB at a time; so gathered, the file is written faster. The
	// file's own ReadFrom would not gather.
	w := bufio.NewWriterSize(struct{ io.Writer }{f}, copyBuffer)
	_, err = w.ReadFrom(conn)
	return errors.Join(err, w.Flush(), f.Close())
}

// writeCertificate makes a P-256 key and a certificate that signs itself.
func writeCertificate(path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: baselineName},
		DNSNames:              []string{baselineName},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...)
	return os.WriteFile(path, text, 0o600)
}

// baseline is the running server and how to ask it.
type baseline struct {
	program     string
	certificate string
	addr        string
	server      *daemon
}

func startBaseline(dir string) (*baseline, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	t := &baseline{program: program, certificate: filepath.Join(dir, "tls.pem")}
	if err := writeCertificate(t.certificate); err != nil {
		return nil, err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	t.server, err = launch(in, program, serveWord, t.certificate)
	in.Close() // the server has its own; when it ends, so does the line
	if err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	t.addr = strings.TrimSuffix(line, "\n")
	if _, _, splitErr := net.SplitHostPort(t.addr); splitErr != nil {
		t.server.end()
		return nil, fmt.Errorf("starting the TLS server: %w: %s", errors.Join(err, splitErr), t.server.said.String())
	}
	return t, nil
}

// fetch copies file to target.
func (t *baseline) fetch(ctx context.Context, file, target string) (cost, error) {
	return spend(ctx, []*daemon{t.server}, t.program, fetchWord, t.certificate, t.addr, file, target)
}
