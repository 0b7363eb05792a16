package gcstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
)

// chunkUnit divides the length of every chunk but the last.
const chunkUnit = 256 << 10

// A session is a resumable upload.
type session struct {
	request // that began it
	meta    metadata
	data    []byte
	done    *reply // of the chunk that completed it
}

// metadata is the metadata that an upload may give its object.
type metadata struct {
	Name        string            `json:"name"`
	CRC32C      string            `json:"crc32c"`
	ContentType string            `json:"contentType"`
	Metadata    map[string]string `json:"metadata"`
}

// upload stores the object of a multipart request.
func (s *Server) upload(q request) *reply {
	_, params, err := mime.ParseMediaType(q.header.Get("Content-Type"))
	if err != nil {
		return refuse(http.StatusBadRequest, "Content-Type: %v", err)
	}
	parts := multipart.NewReader(bytes.NewReader(q.body), params["boundary"])
	var texts [2][]byte
	for i := range texts {
		part, err := parts.NextPart()
		if err == nil {
			texts[i], err = io.ReadAll(part)
		}
		if err != nil {
			return refuse(http.StatusBadRequest, "part %d: %v", i, err)
		}
	}
	var m metadata
	if err := json.Unmarshal(texts[0], &m); err != nil {
		return refuse(http.StatusBadRequest, "metadata: %v", err)
	}
	return s.finish(q, m, texts[1])
}

// finish stores a complete upload, if its precondition and checksum hold.
func (s *Server) finish(q request, m metadata, data []byte) *reply {
	name := q.name
	if name == "" {
		name = m.Name
	}
	if name == "" {
		return refuse(http.StatusBadRequest, "Required object name")
	}
	if r := precondition(q.query, s.objects[q.bucket+"/"+name]); r != nil {
		return r
	}
	if found := encodeCRC(crc32.Checksum(data, castagnoli)); m.CRC32C != "" && m.CRC32C != found {
		return refuse(http.StatusBadRequest, "Provided CRC32C %q doesn't match calculated CRC32C %q.", m.CRC32C, found)
	}
	if s.tooSoon(q.bucket + "/" + name) {
		return refuse(http.StatusTooManyRequests, "The object %s/%s exceeded the rate limit for object mutation operations.", q.bucket, name)
	}
	o := s.put(q.bucket, name, data)
	o.contentType, o.metadata = m.ContentType, m.Metadata
	return answer(o.attrs())
}

// start begins a resumable upload.
func (s *Server) start(q request) *reply {
	u := &session{request: q}
	if err := json.Unmarshal(q.body, &u.meta); err != nil {
		return refuse(http.StatusBadRequest, "metadata: %v", err)
	}
	if q.name == "" {
		u.name = u.meta.Name
	}
	if r := precondition(q.query, s.objects[q.bucket+"/"+u.name]); r != nil {
		return r
	}
	id := fmt.Sprintf("session-%d", len(s.sessions))
	s.sessions[id] = u
	return &reply{status: http.StatusOK, header: http.Header{
		"Location": {s.URL + "/upload/storage/v1/b/" + q.bucket + "/o?uploadType=resumable&upload_id=" + id},
	}}
}

// chunk takes a chunk of a resumable upload. A repeated chunk replaces the bytes from its
// offset on. After the last chunk every request has the reply of the last chunk.
func (s *Server) chunk(q request) *reply {
	u := s.sessions[q.query.Get("upload_id")]
	if u == nil {
		return refuse(http.StatusGone, "no such upload")
	}
	if u.done != nil {
		return u.done
	}
	span, total, ok := strings.Cut(strings.TrimPrefix(q.header.Get("Content-Range"), "bytes "), "/")
	if !ok {
		return refuse(http.StatusBadRequest, "Content-Range %q", q.header.Get("Content-Range"))
	}
	from := len(u.data)
	if span != "*" {
		var to int
		if n, _ := fmt.Sscanf(span, "%d-%d", &from, &to); n != 2 || to-from+1 != len(q.body) {
			return refuse(http.StatusBadRequest, "Content-Range %q with %d bytes", q.header.Get("Content-Range"), len(q.body))
		}
	}
	if from > len(u.data) {
		return refuse(http.StatusBadRequest, "chunk at byte %d, but there are %d", from, len(u.data))
	}
	u.data = append(u.data[:from], q.body...)
	if total == "*" {
		if len(q.body)%chunkUnit != 0 {
			return refuse(http.StatusBadRequest, "a chunk of %d bytes is no multiple of %d", len(q.body), chunkUnit)
		}
		return u.incomplete()
	}
	if n, err := strconv.Atoi(total); err != nil || n != len(u.data) {
		return u.incomplete()
	}
	if hash, ok := strings.CutPrefix(q.header.Get("X-Goog-Hash"), "crc32c="); ok {
		u.meta.CRC32C = hash
	}
	u.meta.ContentType = u.header.Get("X-Upload-Content-Type")
	r := s.finish(u.request, u.meta, u.data)
	if r.status != http.StatusTooManyRequests {
		u.done = r
	}
	return r
}

// incomplete tells the client how many bytes of an upload have arrived.
func (u *session) incomplete() *reply {
	r := &reply{status: http.StatusOK, header: http.Header{"X-Http-Status-Code-Override": {"308"}}}
	if len(u.data) > 0 {
		r.header.Set("Range", fmt.Sprintf("bytes=0-%d", len(u.data)-1))
	}
	return r
}
