const content = JSON.parse(document.getElementById("content").textContent);
window.network = new Network(content.network, arraysOf(content.network.shapes, content.network.weights));
