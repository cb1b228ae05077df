package bmc

import (
	"encoding/json"
	"net/http"
)

// The paths of the BMC's own resources. Clients must find them by links; tests may use them.
const (
	SystemPath     = "/redfish/v1/Systems/system"
	ManagerPath    = "/redfish/v1/Managers/bmc"
	ChassisPath    = "/redfish/v1/Chassis/chassis"
	MediaPath      = ManagerPath + "/VirtualMedia/Cd"
	SecureBootPath = SystemPath + "/SecureBoot"
	ConsolePath    = SystemPath + "/LogServices/HostLogger"
)

// routes is everything the BMC answers.
func (b *BMC) routes() *http.ServeMux {
	fixed := func(d doc) func(*http.Request) (doc, error) {
		return func(*http.Request) (doc, error) {
			c := doc{} // serveGet adds the ETag to what it gets
			for k, v := range d {
				c[k] = v
			}
			return c, nil
		}
	}
	list := func(path, kind string, members ...string) resource {
		return resource{get: fixed(collection(path, kind, members...))}
	}
	table := map[string]resource{
		"/redfish":                   {open: true, get: fixed(doc{"v1": "/redfish/v1/"})},
		"/redfish/v1":                {open: true, get: b.getRoot},
		"/redfish/v1/SessionService": {get: b.getSessionService},
		sessionsPath:                 {get: b.getSessions, post: b.login, anyone: true},
		sessionsPath + "/{id}":       {get: b.getSession, del: b.logout},

		"/redfish/v1/Systems": list("/redfish/v1/Systems", "ComputerSystem", SystemPath),
		SystemPath:            {get: b.getSystem, patch: b.patchSystem},
		SystemPath + "/Actions/ComputerSystem.Reset": {post: b.reset},
		SecureBootPath: {get: b.getSecureBoot, patch: b.patchSecureBoot},
		SecureBootPath + "/Actions/SecureBoot.ResetKeys": {post: b.resetKeys},
		BIOSPath:                             {get: b.getBIOS},
		biosSettings:                         {get: b.getBIOSSettings, patch: b.patchBIOSSettings},
		BIOSPath + "/Actions/Bios.ResetBios": {post: b.resetBIOS},
		passwordPath:                         {post: b.changeSetupPassword},
		updatePath:                           {get: b.getUpdateService},
		firmwarePath:                         {get: b.getInventory},
		firmwarePath + "/{part}":             {get: b.getPart},
		databasesPath:                        {get: b.getDatabases},
		databasesPath + "/{db}":              {get: b.getDatabase},
		databasesPath + "/{db}/Certificates": {get: b.getCertificates, post: b.postCertificate},
		databasesPath + "/{db}/Certificates/{cert}":     {get: b.getCertificate, del: b.deleteCertificate},
		SystemPath + "/EthernetInterfaces":              {get: b.getNICs},
		SystemPath + "/EthernetInterfaces/{nic}":        {get: b.getNIC},
		SystemPath + "/LogServices":                     list(SystemPath+"/LogServices", "LogService", ConsolePath),
		ConsolePath:                                     {get: b.getConsole},
		ConsolePath + "/Entries":                        {get: b.getConsoleEntries},
		ConsolePath + "/Entries/{entry}":                {get: b.getConsoleEntry},
		"/redfish/v1/Managers":                          list("/redfish/v1/Managers", "Manager", ManagerPath),
		ManagerPath:                                     {get: b.getManager},
		ManagerPath + "/VirtualMedia":                   list(ManagerPath+"/VirtualMedia", "VirtualMedia", MediaPath),
		hostIfPath:                                      {get: b.getHostInterfaces},
		hostIfPath + "/usb0":                            {get: b.getHostInterface, patch: b.patchHostInterface},
		protocolPath:                                    {get: b.getProtocols},
		integrityPath:                                   {get: b.getIntegrities},
		integrityPath + "/{part}":                       {get: b.getIntegrity},
		MediaPath:                                       {get: b.getMedia, patch: b.patchMedia},
		MediaPath + "/Actions/VirtualMedia.InsertMedia": {post: b.insertMedia},
		MediaPath + "/Actions/VirtualMedia.EjectMedia":  {post: b.ejectMedia},
		"/redfish/v1/Chassis":                           list("/redfish/v1/Chassis", "Chassis", ChassisPath),
		ChassisPath:                                     {get: b.getChassis},
		ChassisPath + "/Thermal":                        {get: b.getThermal},
		ChassisPath + "/Power":                          {get: b.getPowerSensors},
	}
	mux := http.NewServeMux()
	for path, res := range table {
		mux.Handle(path, b.serve(res))
	}
	mux.Handle("/lab/", b.labMux())
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if !b.allowed(r) {
			b.refuseStranger(w)
			return
		}
		writeError(w, notFound(r))
	})
	return mux
}

func (b *BMC) getRoot(*http.Request) (doc, error) {
	d := doc{
		"@odata.id": "/redfish/v1", "@odata.type": "#ServiceRoot.v1_13_0.ServiceRoot",
		"Id": "RootService", "Name": "Root Service", "RedfishVersion": "1.15.0",
		"UUID": b.cfg.Machine.Inventory().UUID, "Vendor": "Ingot", "Product": "Ingot lab BMC",
		"Systems": link("/redfish/v1/Systems"), "Managers": link("/redfish/v1/Managers"),
		"Chassis": link("/redfish/v1/Chassis"), "UpdateService": link(updatePath), "SessionService": link("/redfish/v1/SessionService"),
		"Links": doc{"Sessions": link(sessionsPath)},
		"ProtocolFeaturesSupported": doc{"FilterQuery": false, "SelectQuery": false, "OnlyMemberQuery": false,
			"ExcerptQuery": false, "ExpandQuery": doc{"ExpandAll": false, "Levels": false, "Links": false, "NoLinks": false}},
	}
	b.told(d, "ComponentIntegrity", link(integrityPath))
	return d, nil
}

// labMux is what a test asks of the emulator beside Redfish. Faults do not reach it.
func (b *BMC) labMux() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /lab/counters", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, b.Counters())
	})
	mux.HandleFunc("GET /lab/faults", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, b.Faults())
	})
	mux.HandleFunc("PUT /lab/faults", func(w http.ResponseWriter, r *http.Request) {
		var list []Fault
		dec := json.NewDecoder(r.Body)
		dec.DisallowUnknownFields()
		err := dec.Decode(&list)
		if err == nil {
			err = b.SetFaults(list...)
		}
		if err != nil {
			writeProblem(w, problem{http.StatusBadRequest, "PropertyValueError", err.Error()})
			return
		}
		writeJSON(w, http.StatusOK, b.Faults())
	})
	mux.HandleFunc("PUT /lab/inband", b.changeInBand)
	mux.HandleFunc("DELETE /lab/sessions", func(w http.ResponseWriter, _ *http.Request) {
		b.ExpireSessions()
		w.WriteHeader(http.StatusNoContent)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); !b.rightPassword(user, password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
			writeProblem(w, problem{http.StatusUnauthorized, "AccessDenied", "The lab's own paths want the BMC's user and password."})
			return
		}
		mux.ServeHTTP(w, r)
	})
}
