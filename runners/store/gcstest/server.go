// Package gcstest is a stand-in for Google Cloud Storage, for tests.
//
// It serves the part of the JSON interface that package store and Beam's Dataflow
// runner use: multipart and resumable uploads, reads with ranges, metadata, lists
// with pages, deletes, the generation preconditions of all of them, and the
// metadata of a bucket. It verifies the checksums that it is sent. There is one
// generation of an object at a time; otherwise the interface is as documented by
// Google. A request outside this part is refused with 501. Every bucket exists except
// NoBucket.
//
// Faults are given in order with Inject or drawn from a seed with Plan.
package gcstest

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// NoBucket is the name of a bucket that does not exist.
const NoBucket = "no-such-bucket"

// A Server keeps objects in memory. It is safe for concurrent use.
type Server struct {
	URL string

	mu         sync.Mutex
	page       int // objects of one answer to list
	generation int64
	objects    map[string]*object // by bucket/name
	sessions   map[string]*session
	faults     []Fault
	seeded     *rand.Rand
	share      float64
	kinds      []Kind
	log        []string
	writes     map[string]int // by bucket/name
	rate       time.Duration  // between two writes of an object
	now        func() time.Time
	written    map[string]time.Time
	limited    int
	closed     chan struct{}
}

type object struct {
	bucket, name string
	data         []byte
	generation   int64
	crc          uint32
	md5          [md5.Size]byte
	contentType  string
	metadata     map[string]string
	updated      time.Time
}

// New starts a server and points STORAGE_EMULATOR_HOST to it until the test ends.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{page: 1000, generation: 1000, closed: make(chan struct{}),
		objects: map[string]*object{}, sessions: map[string]*session{}, writes: map[string]int{}, written: map[string]time.Time{}}
	h := httptest.NewServer(s)
	s.URL = h.URL
	t.Cleanup(func() {
		close(s.closed) // lets go of stalled requests
		h.CloseClientConnections()
		h.Close()
	})
	t.Setenv("STORAGE_EMULATOR_HOST", strings.TrimPrefix(h.URL, "http://"))
	return s
}

// Page sets the greatest number of objects in one answer to list.
func (s *Server) Page(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.page = n
}

// Set stores an object, as another client would.
func (s *Server) Set(bucket, name string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(bucket, name, data)
}

// Object returns the bytes of an object.
func (s *Server) Object(bucket, name string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[bucket+"/"+name]
	if !ok {
		return nil, false
	}
	return append([]byte(nil), o.data...), true
}

// Names returns the names of a bucket's objects, in no order.
func (s *Server) Names(bucket string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, o := range s.objects {
		if o.bucket == bucket {
			names = append(names, o.name)
		}
	}
	return names
}

// Rot flips a bit of a stored object, whose checksum stays.
func (s *Server) Rot(bucket, name string, at int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[bucket+"/"+name]
	o.data = append([]byte(nil), o.data...)
	o.data[at] ^= 1
}

// Writes returns the number of times that clients stored an object.
func (s *Server) Writes(bucket, name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes[bucket+"/"+name]
}

// Log returns a line for each request so far: its Op, its object and its fault.
func (s *Server) Log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.log...)
}

// A reply is the answer to a request, before faults.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func refuse(status int, format string, a ...any) *reply {
	text, _ := json.Marshal(map[string]any{"error": map[string]any{"code": status, "message": fmt.Sprintf(format, a...)}})
	return &reply{status: status, header: http.Header{"Content-Type": {"application/json; charset=UTF-8"}}, body: text}
}

func answer(v any) *reply {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return &reply{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json; charset=UTF-8"}}, body: text}
}

// A request is a parsed request of the JSON interface.
type request struct {
	op           Op
	bucket, name string
	query        url.Values
	header       http.Header
	body         []byte
}

// parse parses a request; op is "" for a request outside the interface.
func parse(r *http.Request) (q request) {
	q = request{query: r.URL.Query(), header: r.Header}
	p := strings.TrimPrefix(r.URL.EscapedPath(), "/download")
	upload := strings.HasPrefix(p, "/upload/")
	p, ok := strings.CutPrefix(strings.TrimPrefix(p, "/upload"), "/storage/v1/b/")
	if !ok {
		return q
	}
	parts := strings.SplitN(p, "/", 3)
	if len(parts) == 1 && !upload && r.Method == http.MethodGet {
		q.op, q.bucket = Bucket, parts[0]
		return q
	}
	if len(parts) < 2 || parts[1] != "o" {
		return q
	}
	q.bucket = parts[0]
	if len(parts) == 3 {
		q.name, _ = url.PathUnescape(parts[2])
	}
	switch {
	case upload && q.query.Has("upload_id"):
		q.op = Chunk
	case upload && r.Method == http.MethodPost && q.query.Get("uploadType") == "multipart":
		q.op = Upload
	case upload && r.Method == http.MethodPost && q.query.Get("uploadType") == "resumable":
		q.op = Start
	case upload:
	case r.Method == http.MethodGet && q.name == "":
		q.op = List
	case r.Method == http.MethodGet && q.query.Get("alt") == "media":
		q.op = Read
	case r.Method == http.MethodGet:
		q.op = Attrs
	case r.Method == http.MethodDelete && q.name != "":
		q.op = Delete
	}
	if q.op == Upload || q.op == Start {
		q.name = q.query.Get("name")
	}
	return q
}

// serve executes a request.
func (s *Server) serve(q request) *reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.bucket == NoBucket {
		return refuse(http.StatusNotFound, "The specified bucket does not exist.")
	}
	switch q.op {
	case Bucket:
		return answer(map[string]any{"kind": "storage#bucket", "id": q.bucket, "name": q.bucket, "location": "US"})
	case List:
		return s.list(q)
	case Upload:
		return s.upload(q)
	case Start:
		return s.start(q)
	case Chunk:
		return s.chunk(q)
	}
	o := s.objects[q.bucket+"/"+q.name]
	if g := q.query.Get("generation"); o != nil && g != "" && g != strconv.FormatInt(o.generation, 10) {
		o = nil
	}
	if o == nil && !(q.query.Get("ifGenerationMatch") == "0") {
		return refuse(http.StatusNotFound, "No such object: %s/%s", q.bucket, q.name)
	}
	if r := precondition(q.query, o); r != nil {
		return r
	}
	switch q.op {
	case Attrs:
		return answer(o.attrs())
	case Delete:
		delete(s.objects, q.bucket+"/"+q.name)
		return &reply{status: http.StatusNoContent}
	}
	return o.read(q.header.Get("Range"))
}

// precondition returns the refusal of a request, or nil.
func precondition(query url.Values, o *object) *reply {
	found := int64(0)
	if o != nil {
		found = o.generation
	}
	for key := range query {
		if strings.HasPrefix(key, "if") && key != "ifGenerationMatch" && key != "ifGenerationNotMatch" {
			return refuse(http.StatusNotImplemented, "the stand-in does not know %s", key)
		}
	}
	if query.Has("ifGenerationMatch") && query.Get("ifGenerationMatch") != strconv.FormatInt(found, 10) {
		return refuse(http.StatusPreconditionFailed, "At least one of the pre-conditions you specified did not hold.")
	}
	if query.Has("ifGenerationNotMatch") && query.Get("ifGenerationNotMatch") == strconv.FormatInt(found, 10) {
		return refuse(http.StatusPreconditionFailed, "At least one of the pre-conditions you specified did not hold.")
	}
	return nil
}

// put stores an object under a new generation.
func (s *Server) put(bucket, name string, data []byte) *object {
	s.generation += 7
	o := &object{
		bucket: bucket, name: name, data: append([]byte(nil), data...), generation: s.generation,
		crc: crc32.Checksum(data, castagnoli), md5: md5.Sum(data), updated: time.Now(),
	}
	s.objects[bucket+"/"+name] = o
	s.writes[bucket+"/"+name]++
	return o
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeCRC(crc uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc))
}

// attrs returns an object's metadata.
func (o *object) attrs() map[string]any {
	return map[string]any{
		"kind": "storage#object", "metadata": o.metadata, "bucket": o.bucket, "name": o.name, "contentType": o.contentType,
		"generation": strconv.FormatInt(o.generation, 10), "metageneration": "1", "size": strconv.Itoa(len(o.data)),
		"updated": o.updated.UTC().Format(time.RFC3339Nano), "crc32c": encodeCRC(o.crc), "md5Hash": base64.StdEncoding.EncodeToString(o.md5[:]),
	}
}

// read returns an object's bytes, or a range of them.
func (o *object) read(want string) *reply {
	r := &reply{status: http.StatusOK, header: http.Header{
		"Content-Type": {o.contentType}, "X-Goog-Generation": {strconv.FormatInt(o.generation, 10)},
		"X-Goog-Hash": {"crc32c=" + encodeCRC(o.crc)},
	}, body: o.data}
	if want == "" {
		return r
	}
	var from, to int
	if n, _ := fmt.Sscanf(want, "bytes=%d-%d", &from, &to); n == 1 {
		to = len(o.data) - 1
	} else if n != 2 {
		return refuse(http.StatusNotImplemented, "the stand-in does not know Range %q", want)
	}
	if from < 0 || from >= len(o.data) || to < from {
		return refuse(http.StatusRequestedRangeNotSatisfiable, "The requested range cannot be satisfied.")
	}
	to = min(to, len(o.data)-1)
	r.status, r.body = http.StatusPartialContent, o.data[from:to+1]
	r.header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(o.data)))
	return r
}

// list returns a page of objects.
func (s *Server) list(q request) *reply {
	if q.query.Get("delimiter") != "" || q.query.Get("versions") == "true" {
		return refuse(http.StatusNotImplemented, "the stand-in does not know delimiters and versions")
	}
	var found []*object
	for _, o := range s.objects {
		if o.bucket == q.bucket && strings.HasPrefix(o.name, q.query.Get("prefix")) && o.name > q.query.Get("pageToken") {
			found = append(found, o)
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].name < found[j].name })
	n := s.page
	if m, err := strconv.Atoi(q.query.Get("maxResults")); err == nil && m > 0 {
		n = min(n, m)
	}
	result := map[string]any{"kind": "storage#objects"}
	if len(found) > n {
		found = found[:n]
		result["nextPageToken"] = found[n-1].name
	}
	items := []any{}
	for _, o := range found {
		items = append(items, o.attrs())
	}
	result["items"] = items
	return answer(result)
}
