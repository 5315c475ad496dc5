// What the cases in tests/servers.rs ask for, with Node's own server.

const http = require("node:http");

let go;
const gone = new Promise((resolve) => (go = resolve));
const file = Buffer.from("0123456789");

function whole(response, body, headers = {}) {
  response.writeHead(200, { "content-length": Buffer.byteLength(body), ...headers });
  response.end(body);
}

const server = http.createServer(async (request, response) => {
  switch (request.url) {
    case "/echo":
      response.writeHead(200, { "x-length": request.headers["content-length"] ?? "" });
      return request.pipe(response);
    case "/stream":
      response.writeHead(200);
      response.write("first\n");
      await gone;
      return response.end("last\n");
    case "/go":
      go();
      return whole(response, "gone");
    case "/connection":
      return whole(response, String(request.socket.remotePort));
    case "/large":
      return whole(response, String((request.headers["x-large"] ?? "").length), { "x-large": "y".repeat(6000) });
    case "/file": {
      const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
      if (!range) return whole(response, file, { "accept-ranges": "bytes" });
      const part = file.subarray(Number(range[1]), Number(range[2]) + 1);
      const content = `bytes ${range[1]}-${range[2]}/${file.length}`;
      response.writeHead(206, { "content-length": part.length, "content-range": content });
      return response.end(part);
    }
    default:
      return whole(response, "hello");
  }
});

server.listen(Number(process.env.PORT), "127.0.0.1");
