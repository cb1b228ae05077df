package lab

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"ingot/lab/bmc"
)

// guidX509 says that the entries of a signature list are certificates. Source: UEFI 2.10, 32.4.1, EFI_CERT_X509_GUID.
var guidX509 = guid{0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72}

const (
	listHeader = 28   // of an EFI_SIGNATURE_LIST
	attrKeys   = 0x27 // non-volatile, for firmware and system, changed by whoever signs with a time
)

// signatureLists makes the value of a database: a list for each certificate, for the entries of a list are of one size.
func signatureLists(certs []bmc.Cert) ([]byte, error) {
	var out []byte
	for _, c := range certs {
		owner, err := parseGUID(c.Owner)
		if err != nil {
			return nil, err
		}
		entry := 16 + len(c.DER)
		out = append(out, guidX509[:]...)
		out = binary.LittleEndian.AppendUint32(out, uint32(listHeader+entry))
		out = binary.LittleEndian.AppendUint32(out, 0)
		out = binary.LittleEndian.AppendUint32(out, uint32(entry))
		out = append(append(out, owner[:]...), c.DER...)
	}
	return out, nil
}

// readSignatureLists gives the certificates of a database. Hashes and damaged lists are left out.
func readSignatureLists(b []byte) (certs []bmc.Cert) {
	for len(b) >= listHeader {
		size, head, entry := uint64(binary.LittleEndian.Uint32(b[16:])), uint64(binary.LittleEndian.Uint32(b[20:])), uint64(binary.LittleEndian.Uint32(b[24:]))
		if size < listHeader || size > uint64(len(b)) {
			return certs
		}
		if guid(b[:16]) == guidX509 && entry > 16 && listHeader+head <= size {
			for at := listHeader + head; at+entry <= size; at += entry {
				certs = append(certs, bmc.Cert{Owner: guid(b[at : at+16]).String(), DER: bytes.Clone(b[at+16 : at+entry])})
			}
		}
		b = b[size:]
	}
	return certs
}

// parseGUID reads the written form, in which the first three parts are numbers and so the other way round. "" is zero.
func parseGUID(s string) (g guid, err error) {
	if s == "" {
		return g, nil
	}
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != len(g) || strings.Count(s, "-") != 4 {
		return g, fmt.Errorf("%q is not a GUID", s)
	}
	copy(g[:], b)
	g.turn()
	return g, nil
}

func (g guid) String() string {
	g.turn()
	return fmt.Sprintf("%x-%x-%x-%x-%x", g[:4], g[4:6], g[6:8], g[8:10], g[10:])
}

func (g *guid) turn() {
	g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7] = g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6]
}

// factoryKeys are those that the firmware of machines with Secure Boot comes with; none where the file is missing.
func factoryKeys(path string) bmc.KeyStore {
	raw, err := os.ReadFile(path)
	if err != nil {
		return bmc.KeyStore{}
	}
	n, err := readNVRAM(raw)
	if err != nil {
		return bmc.KeyStore{}
	}
	list := func(g guid, name string) []bmc.Cert {
		value, _ := n.get(g, name)
		return readSignatureLists(value)
	}
	return bmc.KeyStore{PK: list(guidGlobal, "PK"), KEK: list(guidGlobal, "KEK"), DB: list(guidImages, "db")}
}

// wanted is the value that a database is to have; ok is false for one that stays as the factory made it.
func wanted(keys *bmc.KeyStore, name string) (value []byte, ok bool, err error) {
	if keys == nil || name == "dbx" {
		return nil, false, nil
	}
	value, err = signatureLists(map[string][]bmc.Cert{"PK": keys.PK, "KEK": keys.KEK, "db": keys.DB}[name])
	return value, true, err
}
