package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kfake"
)

// This file has the discarding receivers of gRPC, of AWS and of Kafka.

// grpc answers an export with success: an empty message, and the status as a trailer.
func grpc(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	_, _ = w.Write(make([]byte, 5))
	w.Header().Set("Grpc-Status", "0")
}

// store answers a PUT of S3.
func store(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("ETag", `"x"`)
}

// taken is what SQS and SNS say of one message.
type taken struct {
	ID        string `json:"Id" xml:"Id"`
	MessageID string `json:"MessageId" xml:"MessageId"`
}

// messages answers SendMessageBatch of SQS and PublishBatch of SNS.
func messages(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Amz-Target") == "AmazonSQS.SendMessageBatch" {
		var batch struct{ Entries []struct{ Id string } }
		if err := json.NewDecoder(r.Body).Decode(&batch); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var list []taken
		for _, one := range batch.Entries {
			list = append(list, taken{one.Id, "x"})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"Successful": list})
		return
	}
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var list []taken
	for name := range r.PostForm {
		if strings.HasSuffix(name, ".Id") {
			list = append(list, taken{r.PostForm.Get(name), "x"})
		}
	}
	_ = xml.NewEncoder(w).Encode(struct {
		XMLName xml.Name `xml:"PublishBatchResponse"`
		Good    []taken  `xml:"PublishBatchResult>Successful>member"`
	}{Good: list})
}

// brokers starts a broker in memory with the topics of the sink kafka. It keeps what it gets.
func brokers(wire *atomic.Int64) (address string, err error) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1),
		kfake.SeedTopics(1, "keytrail.events", "keytrail.windows", "keytrail.anomalies"),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address)
			return counted{l, wire}, err
		}))
	if err != nil {
		return "", fmt.Errorf("cannot start a broker: %w", err)
	}
	return c.ListenAddrs()[0], nil
}
