package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
)

// built are the files that "make page" builds from ui/src, compressed.
//
//go:embed ui/dist
var built embed.FS

// assets are the page's files. Names of scripts and styles contain a hash of their content,
// so browsers may keep them.
type assets struct {
	files map[string]file
	index []byte
}

type file struct {
	kind          string
	zipped, plain []byte
}

// types are the content types of the page's files by extension.
var types = map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml"}

// loadAssets reads the embedded files.
func loadAssets() (*assets, error) {
	a := &assets{files: map[string]file{}}
	list, err := built.ReadDir("ui/dist")
	if err != nil {
		return nil, err
	}
	for _, entry := range list {
		data, err := built.ReadFile("ui/dist/" + entry.Name())
		if err != nil {
			return nil, err
		}
		switch entry.Name() {
		case "index.html":
			a.index = data
			continue
		case "sources.sha256":
			continue
		}
		name, zipped := strings.CutSuffix(entry.Name(), ".gz")
		f := file{kind: types[path.Ext(name)], plain: data}
		if zipped {
			r, err := gzip.NewReader(bytes.NewReader(data))
			if err == nil {
				f.zipped = data
				f.plain, err = io.ReadAll(r)
			}
			if err != nil {
				return nil, fmt.Errorf("the page's file %s is damaged: %w", entry.Name(), err)
			}
		}
		a.files[name] = f
	}
	if a.index == nil {
		return nil, fmt.Errorf("the page is not built: run make page")
	}
	return a, nil
}

// asset is GET /assets/{name}.
func (s *Server) asset(w http.ResponseWriter, r *http.Request) {
	f, ok := s.assets.files[r.PathValue("name")]
	if !ok {
		fail(w, http.StatusNotFound, "not_found", "the page has no such file; reload the page")
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	body := f.plain
	if f.zipped != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = f.zipped
	}
	w.Write(body)
}

// views are the paths of the page's views; the script in the page shows the one in the
// address.
var views = []string{"/", "/anomaly", "/entity", "/events", "/event", "/pipeline"}

// index is the page itself, under the path of each view.
func (s *Server) index(w http.ResponseWriter, r *http.Request) {
	known := false
	for _, v := range views {
		known = known || r.URL.Path == v
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if !known {
		w.WriteHeader(http.StatusNotFound) // the page says so
	}
	s.tagged(w, r, s.assets.index)
}

// tagged writes a body that a browser may keep as long as it has not changed.
func (s *Server) tagged(w http.ResponseWriter, r *http.Request, body []byte) {
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "no-cache")
	if strings.Contains(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Write(body)
}
