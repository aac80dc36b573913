package signaling

import (
	"duet/signaling/auth"
	"duet/signaling/desk"
)

// routes are all operations. The OpenAPI document is made of them.
func routes() []route {
	see := []desk.Role{desk.Supervisor}
	hear := []desk.Role{desk.Auditor}
	everybody := desk.Roles()
	return []route{
		{pattern: "GET /v1/health", summary: "Whether the server works", open: true, reply: healthReply{}, handle: getHealth},
		{pattern: "GET /v1/openapi.json", summary: "This document", open: true, handle: getOpenAPI},

		{pattern: "POST /v1/login", summary: "Sign in with a password; sets the cookie that renews", open: true, request: loginRequest{}, reply: tokenReply{}, handle: postLogin},
		{pattern: "POST /v1/refresh", summary: "A new token for the cookie; the cookie changes", open: true, reply: tokenReply{}, handle: postRefresh},
		{pattern: "POST /v1/logout", summary: "Sign out", open: true, handle: postLogout},
		{pattern: "POST /v1/links/redeem", summary: "A token for a one-time link", open: true, request: redeemRequest{}, reply: tokenReply{}, handle: postRedeem},
		{pattern: "POST /v1/guest", summary: "A caller's token for a public queue", open: true, request: guestRequest{}, reply: tokenReply{}, handle: postGuest},
		{pattern: "POST /v1/dev", summary: "A token for whoever one says one is; only without users, or with --dev-open", open: true, request: tokenRequest{}, reply: tokenReply{}, handle: postDev},
		{pattern: "GET /v1/lobby", summary: "The queues that are open to everybody", open: true, reply: lobbyView{}, handle: getLobby},
		{pattern: "GET /v1/desk", summary: "What an agent sees: who waits, and the other agents", scope: auth.ScopeCalls, roles: []desk.Role{desk.Agent}, reply: deskView{}, handle: getDesk},
		{pattern: "GET /v1/me", summary: "Who the token's bearer is", scope: auth.ScopeAdmin, roles: everybody, reply: meReply{}, handle: getMe},

		{pattern: "POST /v1/tokens", summary: "A user's token, for a backend that knows who its users are", scope: auth.ScopeTokens, request: tokenRequest{}, reply: tokenReply{}, handle: postToken},
		{pattern: "POST /v1/links", summary: "A one-time link for a caller or agent", scope: auth.ScopeTokens, request: linkRequest{}, reply: linkReply{}, handle: postLink},
		{pattern: "POST /v1/urls", summary: "A push or play URL outside of calls", scope: auth.ScopeURLs, request: urlRequest{}, reply: urlReply{}, handle: postURL},

		{pattern: "GET /v1/queues", summary: "All queues", scope: auth.ScopeCalls, roles: see, reply: queueList{}, handle: getQueues},
		{pattern: "GET /v1/queues/{id}", summary: "A queue", scope: auth.ScopeCalls, roles: see, reply: queueView{}, handle: getQueue},
		{pattern: "PUT /v1/queues/{id}", summary: "Make or change a queue", scope: auth.ScopeAdmin, request: desk.Queue{}, reply: queueView{}, handle: putQueue},
		{pattern: "DELETE /v1/queues/{id}", summary: "Delete a queue in which nobody waits", scope: auth.ScopeAdmin, handle: deleteQueue},
		{pattern: "GET /v1/queues/{id}/line", summary: "Who waits", scope: auth.ScopeCalls, roles: see, reply: lineList{}, handle: getLine},

		{pattern: "GET /v1/users", summary: "All users that are set up", scope: auth.ScopeAdmin, reply: userList{}, handle: getUsers},
		{pattern: "GET /v1/users/{id}", summary: "A user", scope: auth.ScopeAdmin, reply: userView{}, handle: getUser},
		{pattern: "PUT /v1/users/{id}", summary: "Make or change a user", scope: auth.ScopeAdmin, request: userRequest{}, reply: userView{}, handle: putUser},
		{pattern: "DELETE /v1/users/{id}", summary: "Delete a user whose room is closed", scope: auth.ScopeAdmin, handle: deleteUser},
		{pattern: "POST /v1/users/{id}/disable", summary: "Keep a user out; sockets close", scope: auth.ScopeAdmin, handle: disableUser},
		{pattern: "POST /v1/users/{id}/enable", summary: "Let a user in again", scope: auth.ScopeAdmin, handle: enableUser},

		{pattern: "GET /v1/keys", summary: "All API keys, without secrets", scope: auth.ScopeAdmin, reply: keyList{}, handle: getKeys},
		{pattern: "POST /v1/keys", summary: "Make an API key; it is shown once", scope: auth.ScopeAdmin, request: keyRequest{}, reply: keyView{}, handle: postKey},
		{pattern: "DELETE /v1/keys/{id}", summary: "Delete an API key", scope: auth.ScopeAdmin, handle: deleteKey},

		{pattern: "GET /v1/webhooks", summary: "All webhooks, without secrets", scope: auth.ScopeAdmin, reply: hookList{}, handle: getHooks},
		{pattern: "PUT /v1/webhooks/{id}", summary: "Make or change a webhook", scope: auth.ScopeAdmin, request: hookRequest{}, reply: hookView{}, handle: putHook},
		{pattern: "DELETE /v1/webhooks/{id}", summary: "Delete a webhook", scope: auth.ScopeAdmin, handle: deleteHook},
		{pattern: "POST /v1/webhooks/{id}/replay", summary: "Tell a webhook everything again from an entry of the log", scope: auth.ScopeAdmin, request: replayRequest{}, handle: replayHook},

		{pattern: "GET /v1/rooms", summary: "All rooms and their states", scope: auth.ScopeCalls, roles: see, reply: roomList{}, handle: getRooms},
		{pattern: "GET /v1/media", summary: "What the relay holds, and has carried since it began", scope: auth.ScopeCalls, roles: see, reply: MediaView{}, handle: getMedia},
		{pattern: "GET /v1/calls", summary: "Calls: state=live or ended, after=, limit=", scope: auth.ScopeCalls, roles: see, reply: callList{}, handle: getCalls},
		{pattern: "GET /v1/calls/{id}", summary: "A call", scope: auth.ScopeCalls, roles: see, reply: oneCall{}, handle: getCall},
		{pattern: "GET /v1/calls/{id}/messages", summary: "What was said in a call; that it was read is kept in the log", scope: auth.ScopeCalls, roles: []desk.Role{desk.Supervisor, desk.Auditor}, reply: messageList{}, handle: getMessages},
		{pattern: "POST /v1/calls/{id}/end", summary: "End a call", scope: auth.ScopeCalls, roles: see, request: endRequest{}, reply: desk.Result{}, handle: postEnd},
		{pattern: "POST /v1/calls/{id}/rating", summary: "How an ended call was, by who called; kept in the log", scope: auth.ScopeCalls, roles: []desk.Role{desk.Caller}, request: ratingRequest{}, handle: postRating},

		{pattern: "GET /v1/recordings", summary: "All recordings, the newest first: after=, limit=", scope: auth.ScopeAudit, roles: hear, reply: recordingList{}, handle: getRecordings},
		{pattern: "GET /v1/recordings/{id}", summary: "A call's recording", scope: auth.ScopeAudit, roles: hear, reply: RecordingView{}, handle: getRecording},
		{pattern: "GET /v1/recordings/{id}/verify", summary: "Check a recording", scope: auth.ScopeAudit, roles: hear, reply: reportReply{}, handle: verifyRecording},
		{pattern: "GET /v1/recordings/{id}/export", summary: "A recording with all that is needed to check it, as a ZIP; kept in the log", scope: auth.ScopeAudit, roles: hear, handle: exportRecording},
		{pattern: "POST /v1/recordings/{id}/exported", summary: "Keep in the log that a recording was exported from the disk", scope: auth.ScopeAdmin, handle: notedExport},
		{pattern: "POST /v1/recordings/{id}/ticket", summary: "A URL to see a recording with, good for 5 minutes; kept in the log", scope: auth.ScopeAudit, roles: hear, reply: ticketReply{}, handle: postTicket},
		{pattern: "GET /v1/recordings/{id}/media", summary: "The media, with ranges: ticket=, part=; party=USER: those of one party, for players that show one", open: true, ticket: true, handle: getRecordingMedia},
		{pattern: "DELETE /v1/recordings/{id}", summary: "Delete a recording; refused before its time, and kept in the log", scope: auth.ScopeAdmin, handle: deleteRecording},
		{pattern: "PUT /v1/recordings/{id}/hold", summary: "Keep a recording whatever its time", scope: auth.ScopeAdmin, request: holdRequest{}, handle: holdRecording},
		{pattern: "DELETE /v1/recordings/{id}/hold", summary: "End a hold", scope: auth.ScopeAdmin, handle: releaseRecording},
		{pattern: "GET /v1/record-key", summary: "The public key that recordings are checked with", scope: auth.ScopeAudit, roles: hear, reply: recordKeyReply{}, handle: getRecordKey},
		{pattern: "GET /v1/audit", summary: "The log: after=, limit=", scope: auth.ScopeAudit, roles: []desk.Role{desk.Auditor}, reply: auditList{}, handle: getAudit},
	}
}
