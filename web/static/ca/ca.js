// How to install the CA of a server in a private network (duet serve --tls-self).

import {begin, failed, show, write} from "../shared/ui.js";

begin(() => undefined);
try {
  const r = await fetch("/ca/duet-ca.json");
  if (r.ok) {
    write("fingerprint", (await r.json()).sha256);
    show("install");
  } else {
    show("none");
  }
} catch {
  failed({code: "unreachable"});
}
