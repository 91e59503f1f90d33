package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// receivers are the discarding receivers. They run in another process, so that their CPU time
// counts for nobody.
type receivers struct {
	run                 *exec.Cmd
	http, syslog, kafka string // addresses
}

// startReceivers starts this program again with -receive.
func startReceivers(ctx context.Context) (*receivers, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	r := &receivers{run: exec.CommandContext(ctx, self, "-receive")}
	r.run.Stderr = os.Stderr
	r.run.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := r.run.StdoutPipe()
	if err == nil {
		err = r.run.Start()
	}
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fscan(bufio.NewReader(out), &r.http, &r.syslog, &r.kafka); err != nil {
		r.stop()
		return nil, fmt.Errorf("the receivers do not start: %w", err)
	}
	return r, nil
}

func (r *receivers) stop() {
	_ = r.run.Process.Kill()
	_ = r.run.Wait()
}

// wire returns how many bytes the receivers have read from their connections.
func (r *receivers) wire(ctx context.Context) (int64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.http+"/wire", nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(text), 10, 64)
}

// counted counts the bytes read from the connections of a listener.
type counted struct {
	net.Listener
	n *atomic.Int64
}

type countedConn struct {
	net.Conn
	n *atomic.Int64
}

func (l counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countedConn{c, l.n}, nil
}

func (c countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// serve runs the receivers until ctx is done, and prints their addresses.
func serve(ctx context.Context) error {
	var wire, acks atomic.Int64
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	lines, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		for l := (counted{lines, &wire}); ; {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}()
		}
	}()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /wire", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, wire.Load()) })
	mux.HandleFunc("POST /v1/logs", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-protobuf")
	})
	mux.HandleFunc("POST /opentelemetry.proto.collector.logs.v1.LogsService/Export", grpc)
	mux.HandleFunc("POST /hook", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	mux.HandleFunc("POST /", messages)
	mux.HandleFunc("PUT /", store)
	mux.HandleFunc("POST /_bulk", bulk)
	mux.HandleFunc("GET /services/collector/health", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"text":"HEC is healthy","code":17}`)
	})
	event := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, `{"text":"Success","code":0,"ackId":%d}`, acks.Add(1))
	}
	mux.HandleFunc("POST /services/collector/event", event)
	mux.HandleFunc("POST /services/collector", event) // the collector's path
	mux.HandleFunc("POST /services/collector/ack", acknowledge)
	kafka, err := brokers(&wire)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, Protocols: &http.Protocols{}}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	fmt.Println(web.Addr(), lines.Addr(), kafka)
	if err := server.Serve(counted{web, &wire}); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// content returns the body of a request, inflated.
func content(r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(r.Body)
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// bulk answers that every document is stored.
func bulk(w http.ResponseWriter, r *http.Request) {
	text, err := content(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var items []string
	for i, line := range bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		if i%2 == 0 {
			op, _, _ := bytes.Cut(bytes.TrimPrefix(line, []byte(`{"`)), []byte(`"`))
			items = append(items, fmt.Sprintf(`{%q:{"status":201}}`, op))
		}
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"errors":false,"items":[%s]}`, strings.Join(items, ","))
}

// acknowledge says that everything is stored.
func acknowledge(w http.ResponseWriter, r *http.Request) {
	var question struct{ Acks []uint64 }
	text, err := content(r)
	if err == nil {
		err = json.Unmarshal(text, &question)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	told := map[uint64]bool{}
	for _, id := range question.Acks {
		told[id] = true
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"acks": told})
}
