// Package source fetches images and checksum files over http and https, and keeps going where a download
// breaks off.
//
// Open gives a Body, an io.ReadCloser that resumes by Range after a lost connection, tries several URLs in
// order, bounds redirects, stalls and retries, and never sends a credential to another origin. Checksum
// finds out what digest an image must have. Ranges reads parts of the same resource beside the download. The caller compares: a Body says whether all bytes came, not
// whether they are the right ones.
//
// It does not judge content (image does), keep files (depot does) or speak to APIs. Conductor and agent
// share it.
//
// Failures: the server's refusal (4xx) and a URL we do not fetch are fault.Invalid and final; a connection
// or server (5xx) that stays bad through all tries is fault.Unavailable; a resource that changed while it
// was read is fault.Conflict. The public sentence names the URL without user, query and fragment,
// which may hold secrets.
package source
